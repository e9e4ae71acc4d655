package shape

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/shape/bpf"
)

// packet is a TCP segment from 10.0.0.1 port 1000 to 10.0.0.2 port 80.
func packet() []byte {
	b := make([]byte, 1514)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], 1500)
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(ip[20:], 1000)
	binary.BigEndian.PutUint16(ip[22:], 80)
	return b
}

// What a packet costs in each program, as the kernel's test run tells, on the
// loopback interface of this namespace, to which nothing is attached.
func BenchmarkProgram(b *testing.B) {
	testkit.NeedRoot(b)
	coll, err := load()
	testkit.Need(b, err)
	defer coll.Close()
	l := Link{Name: "lo", Out: 100e9, In: 100e9, LS: 0.7, BE: 0.1}
	if err := coll.Maps["uplinks"].Put(uint32(loopback), l.uplink(EDT, 0)); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"egress_htb", "egress_edt", "ingress"} {
		b.Run(name, func(b *testing.B) {
			const n = 1_000_000
			var spent time.Duration
			for range b.N {
				_, each, err := coll.Programs[name].Benchmark(packet(), n, nil)
				if err != nil {
					b.Fatal(err)
				}
				spent += each
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/packet")
		})
	}
}

// The kernel's arithmetic of shares, by its programs: what is admitted of a
// flood that is played to them with no time between.
func TestIngressHoldsBestEffortToItsBurst(t *testing.T) {
	testkit.NeedRoot(t)
	coll, err := load()
	testkit.Need(t, err)
	defer coll.Close()
	l := Link{Name: "lo", Out: 1e6, In: 1e6, LS: 0.7, BE: 0.1}
	if err := coll.Maps["uplinks"].Put(uint32(loopback), l.uplink(HTB, 0)); err != nil {
		t.Fatal(err)
	}
	known := bpf.ShapeFlow{Family: 4, Protocol: 6}
	known.Local[0], known.Remote[0] = native(10, 0, 0, 2), native(10, 0, 0, 1)
	known.LocalPort, known.RemotePort = port16(80), port16(1000)
	if err := coll.Maps["flows"].Put(known, uint8(BE)); err != nil {
		t.Fatal(err)
	}
	const n = 1000 // 12 s of the link
	if _, err := coll.Programs["ingress"].Run(&ebpf.RunOptions{Data: packet(), Repeat: n}); err != nil {
		t.Fatal(err)
	}
	c, err := counts(coll.Maps["counts"], 0)
	if err != nil {
		t.Fatal(err)
	}
	be := c[In][BE]
	// 20 ms of 950 kbit at once, less than two packets; and what came due while
	// the run took its time.
	if be.Packets+be.Dropped != n || be.Packets < 1 || be.Packets > n/10 || c[In][LS].Packets+c[In][Rest].Packets != 0 {
		t.Errorf("counts: %+v", c[In])
	}
}

func native(a, b, c, d byte) uint32 { return binary.NativeEndian.Uint32([]byte{a, b, c, d}) }

func port16(p uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, p))
}
