package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/replay"
	"github.com/anole-os/anole/tcprt/trt"
)

// replayed is of how many records a recording is.
const replayed = 100_000

// replay reads a recording, and judges it, and counts the CPU of all threads.
func (b *bencher) replay(ctx context.Context) ([]benchfmt.Result, error) {
	file, err := recording(replayed)
	if err != nil {
		return nil, err
	}
	times := 20
	if b.Short {
		times = 1
	}
	// speed is in millions of records for a second of CPU.
	speed := func(take func() (add func(*tcprt.Record), count func() uint64)) func() (float64, error) {
		return func() (float64, error) {
			from := processTime()
			for range times {
				r, err := trt.NewReader(bytes.NewReader(file))
				if err != nil {
					return 0, err
				}
				add, count := take()
				if err := r.Each(func(rec *tcprt.Record) error { add(rec); return nil }); err != nil {
					return 0, err
				}
				if n := count(); n != replayed {
					return 0, fmt.Errorf("replay %d records: there are %d", replayed, n)
				}
			}
			return float64(times*replayed) / (processTime() - from).Seconds() / 1e6, nil
		}
	}
	got, err := b.rounds(ctx, b.Rounds,
		speed(func() (func(*tcprt.Record), func() uint64) {
			t := &tcprt.Totals{}
			return t.Add, func() uint64 { return t.Requests }
		}),
		speed(func() (func(*tcprt.Record), func() uint64) {
			p := replay.New(replay.Options{})
			return p.Add, func() uint64 { return p.Result().Records }
		}))
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Single("replay-read", "records of a recording of 100,000 read and counted for a second of CPU", "million", ">=1", got[0]),
		benchfmt.Single("replay-judge", "records of the same replayed: figures, anomalies, the slowest", "million", ">=1", got[1]),
	}, nil
}

// recording makes one as a node has it: a few connections of two services, times that
// go on.
func recording(n int) ([]byte, error) {
	var out bytes.Buffer
	w, err := trt.NewWriter(&out, trt.Header{Created: time.Unix(1000, 0), Tier: "full"})
	if err != nil {
		return nil, err
	}
	r, now := rand.New(rand.NewPCG(1, 2)), 5*time.Hour
	for i := range n {
		conn := r.IntN(50)
		now += time.Duration(r.IntN(50_000))
		t := now
		step := func() time.Duration { t += time.Duration(r.IntN(100_000)); return t }
		err := w.Add(&tcprt.Record{
			Role: tcprt.Role(1 + conn%2), Number: uint32(i / 50), NetNS: 4026531840, Cgroup: uint64(2 + conn%2),
			Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), 80), Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), uint16(40000+conn)),
			PID: uint32(100 + conn), Command: tcprt.Command{'n', 'g', 'i', 'n', 'x'}, T0: now, T1: step(), Read: step(), T2: step(), Last: step(), T3: step(), End: step(),
			RequestSeq: r.Uint32(), AnswerSeq: r.Uint32(), RequestBytes: uint32(r.IntN(500)), AnswerBytes: uint32(r.IntN(9000)),
			RTT: 100 * time.Microsecond, MinRTT: 20 * time.Microsecond, MSS: 1448,
		})
		if err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return out.Bytes(), err
}
