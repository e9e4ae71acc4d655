package qos

import (
	"strings"
	"testing"
	"time"
)

func TestIOPolicyIsStrict(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"io: {use: iocost}", `p:2:11: io.use: "iocost" is not one of auto, io.cost`},
		{"io: {factor: 1}", "io.factor: 1 is not between"},
		{"io: {factor: .nan}", "io.factor"},
		{"io: {floor: 0}", "io.floor: 0 is not a share"},
		{"io: {risePerSecond: 100}", "io.risePerSecond"},
		{"io: {relearn: 1s}", "io.relearn: 1s is below 10s"},
		{"io: {devices: [{use: \"off\"}]}", "io.devices: entry 1: match is missing"},
		{"io: {devices: [{match: \"sd[\"}]}", "io.devices: entry 1: match \"sd[\""},
		{"io: {devices: [{match: sda, use: fast}]}", `io.devices: "fast" is not one of`},
		{"io: {devices: [{match: sda, capacity: {readOps: -1}}]}", "negative"},
		{"io: {capacity: {readBytes: -5}}", "readBytes"},
		{"io: {scheduler: cfq}", `io.scheduler: "cfq" is not one of keep, bfq`},
	} {
		_, err := ParsePolicy([]byte("version: 1\n"+c.src+"\n"), "p")
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c.want, "p:2:11: ")) {
			t.Errorf("%s: %v, want %q", c.src, err, c.want)
		}
	}
}

func TestIOPolicyOfADisk(t *testing.T) {
	p, err := ParsePolicy([]byte(`version: 1
io:
  use: io.max
  latency: 5ms
  devices:
    - {match: "nvme*", latency: 500us}
    - {match: sdb, use: "off"}
    - {match: sdc, scheduler: bfq, capacity: {readBytes: 180MB, readOps: 150}}
`), "p")
	if err != nil {
		t.Fatal(err)
	}
	if s := p.IO.of(-1); s.use != "io.max" || s.elevator != "keep" || s.options.Latency != 5*time.Millisecond {
		t.Errorf("a disk that is not named: %+v", s)
	}
	if s := p.IO.of(0); s.use != "io.max" || s.options.Latency != 500*time.Microsecond {
		t.Errorf("nvme: %+v", s)
	}
	if s := p.IO.of(1); s.use != "off" {
		t.Errorf("sdb: %+v", s)
	}
	if s := p.IO.of(2); s.elevator != "bfq" || s.options.Capacity.ReadBytes != 180e6 || s.options.Capacity.ReadOps != 150 {
		t.Errorf("sdc: %+v", s)
	}
	if p.IO.off() {
		t.Error("it is not off")
	}
	p.IO.Use, p.IO.Devices = "off", []IODevice{{Match: "sda", Use: "off"}, {Match: "sdb"}}
	if !p.IO.off() {
		t.Error("nothing is left that would be done")
	}
}
