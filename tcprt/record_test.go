package tcprt

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/anole-os/anole/tcprt/bpf"
)

func TestDecode(t *testing.T) {
	k := &bpf.TcprtRecord{
		Number: 7, Cgroup: 42, T0: 1000, T1: 3000, T2: 7000, T3: 15000, End: 20000, RequestBytes: 5, AnswerBytes: 6, Unacked: 1, Retrans: 2, Reorder: 3,
		RttUs: 4, MinRttUs: 5, Mss: 1448, Role: 2, Flags: 1 | 2, Read: 3500, Last: 9000, RequestSeq: 11, AnswerSeq: 12, ZeroWindows: 13, Pid: 14,
		Chrono: [3]uint32{1, 2, 4}, Comm: [16]int8{'n', 'g'},
	}
	k.Tuple.Family, k.Tuple.LocalPort, k.Tuple.RemotePort, k.Tuple.Netns = afINET, 80, 4711, 99
	k.Tuple.Local[0], k.Tuple.Remote[0] = native(192, 0, 2, 1), native(192, 0, 2, 2)
	var r Record
	c := &Collector{tick: 4 * time.Millisecond}
	c.take(&r, k)
	want := Record{
		Role: Client, Flags: Overlap | Piggyback, Number: 7, Local: netip.MustParseAddrPort("192.0.2.1:80"), Remote: netip.MustParseAddrPort("192.0.2.2:4711"),
		NetNS: 99, Cgroup: 42, T0: 1000, T1: 3000, T2: 7000, T3: 15000, End: 20000, RequestBytes: 5, AnswerBytes: 6, Unacked: 1, Retransmits: 2, OutOfOrder: 3,
		RTT: 4 * time.Microsecond, MinRTT: 5 * time.Microsecond, MSS: 1448, Read: 3500, Last: 9000, RequestSeq: 11, AnswerSeq: 12, ZeroWindows: 13, PID: 14,
		Command: Command{'n', 'g'}, Busy: 28 * time.Millisecond, WindowLimited: 8 * time.Millisecond, BufferLimited: 16 * time.Millisecond,
	}
	if r != want {
		t.Errorf("%+v\n%+v", r, want)
	}
	if got := r.Flags.String(); got != "overlap,piggyback" {
		t.Error(got)
	}
	k.Tuple.Family, k.MinRttUs = 10, ^uint32(0)
	k.Tuple.Local = [4]uint32{native(0x20, 1, 0xd, 0xb8), 0, 0, native(0, 0, 0, 1)}
	k.Tuple.Remote = [4]uint32{0, 0, native(0, 0, 0xff, 0xff), native(192, 0, 2, 3)}
	c.take(&r, k)
	if r.Local != netip.MustParseAddrPort("[2001:db8::1]:80") || r.Remote != netip.MustParseAddrPort("192.0.2.3:4711") || r.MinRTT != 0 {
		t.Errorf("%v %v %v", r.Local, r.Remote, r.MinRTT)
	}
}

// native is a word that the kernel has in the order of the network.
func native(b ...byte) (w uint32) { return *(*uint32)(unsafe.Pointer(&b[0])) }

func TestDecodeAllocatesNothing(t *testing.T) {
	c, k, r := &Collector{}, &bpf.TcprtRecord{MinRttUs: 1}, new(Record)
	if n := testing.AllocsPerRun(100, func() { c.take(r, k) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPhases(t *testing.T) {
	for _, c := range []struct {
		name                                string
		r                                   Record
		upload, processing, delivery, total time.Duration
		complete                            bool
	}{
		{"whole", Record{T0: 10, T1: 20, T2: 50, T3: 90}, 10, 30, 40, 80, true},
		{"the acknowledgement rode", Record{Role: Server, T0: 10, T1: 20, T2: 50, T3: 90, Flags: Piggyback, MinRTT: 5}, 10, 30, 5, 45, true},
		{"it rode at once", Record{Role: Server, T0: 10, T1: 20, T2: 50, T3: 53, Flags: Piggyback, MinRTT: 5}, 10, 30, 3, 43, true},
		{"no round trip known", Record{T0: 10, T1: 20, T2: 50, T3: 90, Flags: Piggyback}, 10, 30, 40, 80, true},
		{"never answered", Record{T0: 10, T1: 20, Flags: AbortedRequest}, 10, 0, 0, 10, false},
		{"cut off", Record{T0: 10, T1: 20, T2: 30, Flags: AbortedAnswer}, 10, 10, 0, 20, false},
	} {
		r := c.r
		if r.Phase(Upload) != c.upload || r.Phase(Processing) != c.processing || r.Phase(Delivery) != c.delivery || r.Total() != c.total || r.Complete() != c.complete {
			t.Errorf("%s: %v %v %v %v %v", c.name, r.Phase(Upload), r.Phase(Processing), r.Phase(Delivery), r.Total(), r.Complete())
		}
	}
}

const procNetTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 3 1
`

func TestListening(t *testing.T) {
	if got := listening([]byte(procNetTCP)); !slices.Equal(got, []uint16{8080, 80}) {
		t.Error(got)
	}
}

func TestListenersOfEachNamespace(t *testing.T) {
	root := t.TempDir()
	for pid, ns := range map[string]string{"1": "net:[4026531840]", "2": "net:[4026531840]", "30": "net:[4026532000]", "31": "nonsense"} {
		dir := filepath.Join(root, "proc", pid)
		for _, d := range []string{"ns", "net"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(ns, filepath.Join(dir, "ns/net")); err != nil {
			t.Fatal(err)
		}
		text := procNetTCP
		if pid == "31" {
			text = "   0: 0100007F:0001 00000000:0000 0A\n"
		}
		if err := os.WriteFile(filepath.Join(dir, "net/tcp"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := listeners(root)
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	for _, l := range []listener{{4026531840, 80}, {4026531840, 8080}, {4026532000, 80}, {4026532000, 8080}} {
		if !got[l] {
			t.Errorf("%+v is not there: %v", l, got)
		}
	}
	if _, err := listeners(t.TempDir()); err == nil {
		t.Error("a node without /proc has listeners")
	}
}

func FuzzListening(f *testing.F) {
	f.Add([]byte(procNetTCP))
	f.Add([]byte("0: :0A 0 0A"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(listening(b)); n > len(b)/8 {
			t.Fatalf("%d ports in %d bytes", n, len(b))
		}
	})
}
