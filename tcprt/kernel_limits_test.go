package tcprt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/anole-os/anole/internal/testkit"
)

// Where nobody drains the ring, what has no room is counted, and nothing else is lost.
func TestKernelRingFull(t *testing.T) {
	port := listen(t, "127.0.0.1:0", echo)
	k := collect(t, Options{Ports: []uint16{port.Port()}, Room: 1})
	const clients, turns = 4, 12_000
	var wg sync.WaitGroup
	for range clients {
		c := dial(t, port)
		wg.Go(func() {
			b := make([]byte, 2)
			for range turns {
				if _, err := c.Write([]byte("1\n")); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Read(b); err != nil {
					t.Error(err)
					return
				}
			}
			_ = c.Close()
		})
	}
	wg.Wait()
	time.Sleep(100 * time.Millisecond) // until the servers' sides closed
	const all = 2 * clients * turns
	before, err := k.Stats()
	if err != nil {
		t.Fatal(err)
	}
	k.drain()
	after, err := k.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if before.Dropped == 0 || before.Records+before.Dropped != all || uint64(len(k.seen)) != before.Records || after != before {
		t.Errorf("%d drained; %+v then %+v, want %d in all", len(k.seen), before, after, all)
	}
	for role, c := range k.services() {
		if c.Requests != clients*turns || c.Phases[Phases].Count() != clients*turns {
			t.Errorf("%s: %d requests are counted, want %d", role, c.Requests, clients*turns)
		}
	}
	// And there is room again.
	k.seen = nil
	c := dial(t, port)
	ask(t, c, 10)
	_ = c.Close()
	for end := time.Now().Add(10 * time.Second); len(k.seen) < 2 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		k.drain()
	}
	if len(k.seen) != 2 {
		t.Errorf("%d records after that, want 2", len(k.seen))
	}
}

// More services than there are places for: those that found none are counted
// together, and none is lost.
func TestKernelManyServices(t *testing.T) {
	const servers, turns = 200, 3 // of each a service on both sides
	k := collect(t, Options{})
	var ports []netip.AddrPort
	ours := map[uint16]bool{}
	for range servers {
		p := listen(t, "127.0.0.1:0", echo)
		ports = append(ports, p)
		ours[p.Port()] = true
	}
	for _, p := range ports {
		c := dial(t, p)
		for range turns {
			ask(t, c, 10)
		}
		_ = c.Close()
	}
	want := map[Role]int{Server: servers * turns, Client: servers * turns}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		k.drain()
		n := map[Role]int{}
		for _, r := range k.seen {
			if s := r.Service(); ours[s.Port] {
				n[r.Role]++
			}
		}
		if n[Server] == want[Server] && n[Client] == want[Client] {
			break
		}
	}
	var named, others, places uint64
	if err := k.Services(func(s Service, c *Totals, _ Owner) {
		switch {
		case s == Service{}:
			others += c.Requests
		case ours[s.Port]:
			named += c.Requests
			places++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if others == 0 || places == 0 || places > 255 {
		t.Fatalf("%d services with a place, %d requests of others: this tests nothing", places, others)
	}
	// Others on the node may be in these too.
	if named+others < 2*servers*turns || named != places*turns {
		t.Errorf("%d requests in %d places, %d in others; want %d in all", named, places, others, 2*servers*turns)
	}
}

// objects counts what the kernel holds of BPF.
func objects(t *testing.T) (n struct{ programs, maps, links int }) {
	t.Helper()
	for id := ebpf.ProgramID(0); ; n.programs++ {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		testkit.Need(t, err)
		id = next
	}
	for id := ebpf.MapID(0); ; n.maps++ {
		next, err := ebpf.MapGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		testkit.Need(t, err)
		id = next
	}
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		n.links++
	}
	testkit.Need(t, it.Err())
	return n
}

// settled waits until the kernel holds no more than it did before, when it may still
// have had some of another test: it takes down maps and programs a while after the
// last use.
func settled(t *testing.T, before struct{ programs, maps, links int }) {
	t.Helper()
	now := objects(t)
	more := func() bool {
		return now.programs > before.programs || now.maps > before.maps || now.links > before.links
	}
	for end := time.Now().Add(20 * time.Second); more() && time.Now().Before(end); now = objects(t) {
		time.Sleep(50 * time.Millisecond)
	}
	if more() {
		t.Errorf("the kernel holds %+v, before it was %+v", now, before)
	}
}

// Started and stopped a hundred times, in the midst of traffic, it leaves nothing in
// the kernel, and the traffic never notices.
func TestKernelStartedAndStopped(t *testing.T) {
	testkit.NeedRoot(t)
	port := listen(t, "127.0.0.1:0", echo)
	before := objects(t)
	ctx, stop := context.WithCancel(t.Context())
	var turns atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		c := dial(t, port)
		wg.Go(func() {
			for ctx.Err() == nil {
				ask(t, c, 10)
				turns.Add(1)
			}
		})
	}
	for i := range 100 {
		tier := []Tier{Lite, Full}[i%2]
		c, err := Open(Options{Ports: []uint16{port.Port()}, Tier: tier})
		testkit.Need(t, err)
		from := turns.Load()
		for turns.Load() < from+5 {
			time.Sleep(time.Millisecond)
		}
		n := 0
		if err := c.Drain(0, func(*Record) { n++ }); err != nil || n == 0 {
			t.Errorf("round %d: %d records, %v", i, n, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	settled(t, before)
}

// A measurement that is killed is over: nothing of it stays in the kernel, and no
// request fails.
func TestKernelMeasurerKilled(t *testing.T) {
	if p := os.Getenv("TCPRT_TEST_MEASURER"); p != "" {
		measurer(netip.MustParseAddrPort(p))
		return
	}
	testkit.NeedRoot(t)
	port := listen(t, "127.0.0.1:0", echo)
	before := objects(t)
	ctx, stop := context.WithCancel(t.Context())
	var turns atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		c := dial(t, port)
		wg.Go(func() {
			for ctx.Err() == nil {
				ask(t, c, 100)
				turns.Add(1)
			}
		})
	}
	for range 5 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKernelMeasurerKilled$")
		cmd.Env = append(os.Environ(), "TCPRT_TEST_MEASURER="+port.String())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		n, err := out.Read(b)
		if err != nil || strings.TrimSpace(string(b[:n])) != "ready" {
			t.Fatalf("%q, %v", b[:n], err)
		}
		from := turns.Load()
		for turns.Load() < from+200 {
			time.Sleep(time.Millisecond)
		}
		if objects(t) == before {
			t.Error("it does not measure: this tests nothing")
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		from = turns.Load()
		for turns.Load() < from+200 {
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	wg.Wait()
	settled(t, before)
}

// measurer measures a port until it is killed.
func measurer(port netip.AddrPort) {
	c, err := Open(Options{Ports: []uint16{port.Port()}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	n := 0
	_ = c.Run(context.Background(), func(*Record) {
		if n++; n == 50 {
			fmt.Println("ready")
		}
	})
}

// A container that is destroyed, with its network, in the midst of its requests
// leaves them told as ended, under its own name.
func TestKernelNamespaceDestroyed(t *testing.T) {
	if os.Getenv("TCPRT_TEST_INMATE") != "" {
		inmate()
		return
	}
	eachTier(t, func(t *testing.T, tier Tier) {
		k := collect(t, Options{Ports: []uint16{7779}, Tier: tier})
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKernelNamespaceDestroyed$")
		cmd.Env = append(os.Environ(), "TCPRT_TEST_INMATE=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		testkit.Need(t, cmd.Start())
		var inode uint32
		if _, err := fmt.Fscan(out, &inode); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for _, role := range []Role{Server, Client} {
			for _, r := range k.of(role, 10) {
				if !r.Failed() || r.NetNS != inode || r.RequestBytes != 5 {
					t.Errorf("%s: %+v", role, r)
				}
			}
		}
		if p := k.pending(); len(p) != 0 {
			t.Errorf("still under way: %+v", p)
		}
	})
}

// inmate has ten requests under way within its own network.
func inmate() {
	fatal := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	lo, err := netlink.LinkByName("lo")
	fatal(err)
	fatal(netlink.LinkSetUp(lo))
	l, err := net.Listen("tcp", "127.0.0.1:7779")
	fatal(err)
	for range 10 {
		c, err := net.Dial("tcp", l.Addr().String())
		fatal(err)
		_, err = c.Write([]byte("hello"))
		fatal(err)
		s, err := l.Accept()
		fatal(err)
		_, err = s.Read(make([]byte, 5))
		fatal(err)
	}
	var s syscall.Stat_t
	fatal(syscall.Stat("/proc/self/ns/net", &s))
	fmt.Println(s.Ino)
	select {}
}
