package trt

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// some makes records as a node has them: a few connections, times that go on.
func some(n int) []tcprt.Record {
	r := rand.New(rand.NewPCG(1, 2))
	out, now := make([]tcprt.Record, n), 5*time.Hour
	for i := range out {
		c := r.IntN(50)
		now += time.Duration(r.IntN(50_000))
		t := now
		step := func() time.Duration { t += time.Duration(r.IntN(100_000)); return t }
		out[i] = tcprt.Record{
			Role: tcprt.Role(1 + c%2), Flags: tcprt.Flags(r.IntN(1 << 14)), Number: uint32(i / 50), NetNS: 4026531840, Cgroup: uint64(c),
			Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), 80), Remote: netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), uint16(40000+c)),
			PID: uint32(100 + c + i%2*1000), Command: tcprt.Command{'n', 'g', 'i', 'n', 'x'}, T0: now, T1: step(), Read: step(), T2: step(), Last: step(), T3: step(), End: step(),
			RequestSeq: r.Uint32(), AnswerSeq: r.Uint32(), RequestBytes: uint32(r.IntN(500)), AnswerBytes: uint32(r.IntN(9000)), Retransmits: uint32(r.IntN(2)),
			RTT: 100 * time.Microsecond, MinRTT: 20 * time.Microsecond, MSS: 1448,
		}
		if i%3 == 0 {
			out[i].Hint = tcprt.Hint{Protocol: "http", Method: "GET", Route: "/a/{id}", Status: []string{"200", "404"}[i%2], Requests: uint16(i % 5)}
		}
		if i%10 == 0 {
			out[i].T2, out[i].Last, out[i].T3, out[i].Read = 0, 0, 0, 0
			out[i].Unacked, out[i].OutOfOrder, out[i].ZeroWindows, out[i].Queued = 1, 2, 3, 4
			out[i].Busy, out[i].WindowLimited, out[i].BufferLimited = 5, 6, 7
		}
	}
	return out
}

var head = Header{Created: time.Unix(1000, 0).UTC(), Host: "node-1", Kernel: "6.18", Tier: "full", Offset: time.Hour}

func written(t testing.TB, all []tcprt.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, head)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Names([]Named{{Role: "server", Port: 80, NetNS: 4026531840, Names: tcprt.Names{Pod: "web"}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Lost(7); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := w.Add(&all[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, b []byte) (out []tcprt.Record, r *Reader, err error) {
	t.Helper()
	r, err = NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	err = r.Each(func(rec *tcprt.Record) error { out = append(out, *rec); return nil })
	return out, r, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	all := some(10_000)
	b := written(t, all)
	got, r, err := read(t, b)
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d of %d, %v", len(got), len(all), err)
	}
	for i := range all {
		if got[i] != all[i] {
			t.Fatalf("%d:\n%+v\n%+v", i, got[i], all[i])
		}
	}
	if r.Header() != head || r.Names(tcprt.Service{Role: tcprt.Server, Port: 80, NetNS: 4026531840}).Pod != "web" {
		t.Errorf("%+v", r.Header())
	}
	t.Logf("%.1f bytes per record", float64(len(b))/float64(len(all)))
}

// A recording says what it lacks, once for each change.
func TestLost(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, head)
	if err != nil {
		t.Fatal(err)
	}
	all := some(10)
	var sizes []int
	for i, n := range []uint64{0, 3, 3, 400, 400} {
		if err := errors.Join(w.Add(&all[i]), w.Flush()); err != nil {
			t.Fatal(err)
		}
		before := b.Len()
		if err := w.Lost(n); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, b.Len()-before)
	}
	got, r, err := read(t, b.Bytes())
	if err != nil || len(got) != 5 || r.Lost() != 400 {
		t.Errorf("%d records, %d lost, %v", len(got), r.Lost(), err)
	}
	if sizes[0] != 0 || sizes[1] == 0 || sizes[2] != 0 || sizes[3] == 0 || sizes[4] != 0 {
		t.Errorf("frames of %v bytes", sizes)
	}
}

// Of a file that was cut off at any byte, all whole frames are read, and what is
// missing is said.
func TestCutOff(t *testing.T) {
	all := some(3 * blockOf)
	b := written(t, all)
	whole := 0
	for at := len(b) - 1; at > 400; at -= 4999 {
		got, _, err := read(t, b[:at])
		var harm *DamagedError
		if !errors.As(err, &harm) && len(got)%blockOf != 0 {
			t.Fatalf("cut at %d of %d: %d records, %v", at, len(b), len(got), err)
		}
		for i := range got {
			if got[i] != all[i] {
				t.Fatalf("cut at %d: record %d is another", at, i)
			}
		}
		whole = max(whole, len(got)/blockOf)
	}
	if whole != 2 {
		t.Errorf("%d whole frames, want 2", whole)
	}
}

// Damage in the middle costs the frame that it is in.
func TestDamaged(t *testing.T) {
	all := some(4 * blockOf)
	b := written(t, all)
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		bad := bytes.Clone(b)
		at := 300 + r.IntN(len(bad)-300)
		bad[at] ^= byte(1 + r.IntN(255))
		got, _, err := read(t, bad)
		var harm *DamagedError
		if len(got) != 3*blockOf && len(got) != 4*blockOf || len(got) == 3*blockOf && (!errors.As(err, &harm) || harm.Offset > int64(at) || harm.Bytes == 0) {
			t.Fatalf("byte %d: %d records, %v", at, len(got), err)
		}
	}
	// Something else in between.
	mixed := append(bytes.Clone(b[:len(b)/2]), b[len(b)/3:]...)
	if got, _, err := read(t, mixed); err == nil || len(got) < 2*blockOf {
		t.Errorf("%d records, %v", len(got), err)
	}
	for _, none := range [][]byte{nil, []byte("junk"), b[:10], bytes.Repeat([]byte("x"), 100), append([]byte("ANOLETRT\x02"), b[9:]...)} {
		if _, err := NewReader(bytes.NewReader(none)); err == nil {
			t.Errorf("%.20q is taken for a recording", none)
		}
	}
}

type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(b), nil
}

func TestWriteErrorsStay(t *testing.T) {
	w, err := NewWriter(&full{200}, head)
	if err != nil {
		t.Fatal(err)
	}
	var first error
	all := some(blockOf)
	for i := range all {
		if err := w.Add(&all[i]); err != nil {
			first = err
		}
	}
	if first == nil || w.Add(&all[0]) == nil || w.Close() == nil {
		t.Errorf("%v", first)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(written(f, some(20)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		_ = r.Each(func(*tcprt.Record) error { return nil })
	})
}

func FuzzRows(f *testing.F) {
	w := rows{conns: map[conn]uint64{}, words: map[string]uint64{}}
	for _, r := range some(5) {
		w.add(&r)
	}
	f.Add(w.b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		d := row{b: b}
		var r tcprt.Record
		for range 1000 {
			if d.next(&r) != nil {
				return
			}
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	all := some(100_000)
	file := written(b, all)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		var t tcprt.Totals
		if err := r.Each(func(rec *tcprt.Record) error { t.Add(rec); return nil }); err != nil || t.Requests != 100_000 {
			b.Fatal(t.Requests, err)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkWrite(b *testing.B) {
	all := some(100_000)
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewWriter(&full{1 << 60}, head)
		if err != nil {
			b.Fatal(err)
		}
		for i := range all {
			if err := w.Add(&all[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/100_000, "ns/record")
}
