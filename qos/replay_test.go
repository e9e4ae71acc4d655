package qos

import (
	"bytes"
	"context"
	"testing"

	"github.com/anole-os/anole/qos/record"
)

// A recording may come from anywhere: whatever it says, it is replayed or
// refused.
func FuzzReplay(f *testing.F) {
	head := `{"header":{"anole_record":1,"cpus":2,"policy":"version: 1\n","mechanism":"cpu.idle","limits":{"min_period_us":1000,"max_period_us":1000000,"min_quota_us":1000,"max_runtime_us":17592186044415,"has_burst":true}}}` + "\n" +
		`{"join":{"workload":{"id":"anole-ls/a","path":"/anole-ls/a","ino":7}}}` + "\n" + `{"join":{"workload":{"id":"anole-be/b","path":"/anole-be/b","ino":8},"share":0.5}}` + "\n"
	f.Add([]byte(head + `{"step":{"t":100000000,"dt":100000000,"busy":1.5,"runq":{"p99":9000000,"n":200},"w":[{"i":7,"f":true,"u":0.5,"d":50000000,"l":0.5},{"i":8,"f":true,"u":1,"d":100000000,"th":1}]}}` + "\n"))
	f.Add([]byte(head + `{"step":{"t":1,"dt":1,"looks":[{"c":"io","of":"sda","in":{"number":"8:0","mechanism":"throttle","disk":{"read_ops":1},"waits":{"sum_ns":5,"buckets":[[3,1]]}},"out":{"limited":true}}]}}` + "\n"))
	f.Add([]byte(head + `{"step":{"t":1,"dt":1,"looks":[{"c":"memory","of":"/","in":{"total":1000,"free":1,"ls":1,"be":[{"id":"b","used":500,"pinned":9,"limit":18446744073709551615}]},"out":true},{"c":"memory.bound","of":"b","in":{"used":500},"out":5},{"c":"memory.evict","of":"/","in":{"available":1,"total":9},"out":1},{"c":"cache","of":"/","in":{"has_cache":true,"ls":1,"cpi":2},"out":{"cache":1,"bandwidth":1}}]}}` + "\n"))
	f.Add([]byte(head + `{"leave":7}` + "\n" + `{"policy":"version: 1\nbe: {floor: 0.5}\n"}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []*Policy{nil, new(DefaultPolicy())} {
			r, err := record.NewReader(bytes.NewReader(b), "fuzz")
			if err != nil {
				return
			}
			_, _ = ReplayRecording(context.Background(), r, ReplayOptions{Policy: p})
			r.Close()
		}
	})
}
