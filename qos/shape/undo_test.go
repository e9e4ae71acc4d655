package shape_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/shape"
)

func (k *kit) show() string {
	k.Helper()
	out, err := k.Node.Show()
	if err != nil {
		k.Fatal(err)
	}
	return out
}

func (k *kit) same(was string) {
	k.Helper()
	if is := k.show(); is != was {
		k.Errorf("there is\n%s\nbefore it was\n%s", is, was)
	}
	if left := k.j.Pending(); len(left) > 0 {
		k.Errorf("left in the journal: %+v", left)
	}
}

// change is something that somebody else does to an interface's qdiscs.
type change func(h *netlink.Handle, index int) error

func qdisc(q func(netlink.QdiscAttrs) netlink.Qdisc, parent, handle uint32) change {
	return func(h *netlink.Handle, index int) error {
		return h.QdiscReplace(q(netlink.QdiscAttrs{LinkIndex: index, Parent: parent, Handle: handle}))
	}
}

// generic is a qdisc with the kernel's own settings.
func generic(kind string) func(netlink.QdiscAttrs) netlink.Qdisc {
	return func(a netlink.QdiscAttrs) netlink.Qdisc { return &netlink.GenericQdisc{QdiscAttrs: a, QdiscType: kind} }
}

var addClsact = qdisc(func(a netlink.QdiscAttrs) netlink.Qdisc { return &netlink.Clsact{QdiscAttrs: a} }, netlink.HANDLE_CLSACT, netlink.MakeHandle(0xffff, 0))

// addFilter adds one that matches what never comes.
func addFilter(parent uint32, prio uint16) change {
	return func(h *netlink.Handle, index int) error {
		return h.FilterAdd(&netlink.U32{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Priority: prio, Protocol: unix.ETH_P_IP},
			ClassId:     netlink.MakeHandle(1, 1),
			Sel:         &netlink.TcU32Sel{Nkeys: 1, Flags: netlink.TC_U32_TERMINAL, Keys: []netlink.TcU32Key{{Mask: 0xffffffff, Val: 0x0a630001, Off: 16}}},
		})
	}
}

// others are ways in which somebody else used tc before.
var others = []struct {
	name    string
	changes []change
	replace bool
}{
	{name: "nothing"},
	{name: "clsact", changes: []change{addClsact}},
	{name: "filter", changes: []change{addClsact, addFilter(netlink.HANDLE_MIN_INGRESS, 7), addFilter(netlink.HANDLE_MIN_EGRESS, 7)}},
	{name: "pfifo", changes: []change{qdisc(generic("pfifo"), netlink.HANDLE_ROOT, netlink.MakeHandle(0x77, 0))}, replace: true},
	{name: "pfifo_fast", changes: []change{qdisc(generic("pfifo_fast"), netlink.HANDLE_ROOT, netlink.MakeHandle(8, 0))}, replace: true},
	{name: "bfifo", changes: []change{qdisc(generic("bfifo"), netlink.HANDLE_ROOT, 0)}, replace: true},
	{name: "fq_codel", changes: []change{qdisc(func(a netlink.QdiscAttrs) netlink.Qdisc {
		return &netlink.FqCodel{QdiscAttrs: a, Limit: 777, Target: 7000, Flows: 512}
	}, netlink.HANDLE_ROOT, netlink.MakeHandle(5, 0))}, replace: true},
	{name: "fq", changes: []change{qdisc(func(a netlink.QdiscAttrs) netlink.Qdisc {
		q := netlink.NewFq(a)
		q.FlowMaxRate = 12_500_000
		return q
	}, netlink.HANDLE_ROOT, netlink.MakeHandle(6, 0))}, replace: true},
}

// prepare makes changes to the uplink, or skips where the kernel lacks what they
// need.
func (k *kit) prepare(changes ...change) {
	k.Helper()
	index, err := k.Node.Index(lab.Uplink)
	if err != nil {
		k.Fatal(err)
	}
	for _, c := range changes {
		err := c(k.Node.Netlink(), index)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			err = &feature.UnsupportedError{Feature: "a qdisc that somebody set", Reason: feature.NoKernel, Need: "a kernel with it", Err: err}
		}
		testkit.Need(k, err)
	}
}

func TestKernelUndo(t *testing.T) {
	for _, o := range others {
		t.Run(o.name, func(t *testing.T) {
			k := open(t)
			k.prepare(o.changes...)
			was := k.show()
			l := link(1e9)
			l.Replace = o.replace
			s := k.shaper(shape.HTB, l)
			p, err := k.AddPod(9, true)
			if err != nil {
				t.Fatal(err)
			}
			with := k.show() // with the pod
			if err := s.SetPort(k.hostEnds(s.Conn(), p)[0], shape.BE); err != nil {
				t.Fatal(err)
			}
			if is := k.show(); !strings.Contains(is, "a0e:") || !strings.Contains(is, "anole-port") || is == with {
				t.Fatalf("nothing was done:\n%s", is)
			}
			if err := k.Node.Remove("br9"); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := k.Node.Remove(p.Host); err != nil {
				t.Fatal(err)
			}
			k.same(was)
		})
	}
}

// A card with several queues has a qdisc for each, which the kernel makes anew.
func TestKernelUndoQueues(t *testing.T) {
	k := open(t)
	l := &netlink.Ifb{LinkAttrs: netlink.NewLinkAttrs()}
	l.Name, l.NumTxQueues, l.NumRxQueues, l.TxQLen = "card0", 4, 4, 100
	err := k.Node.Netlink().LinkAdd(l)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = &feature.UnsupportedError{Feature: "ifb", Reason: feature.NoKernel, Need: "CONFIG_IFB", Err: err}
	}
	testkit.Need(t, err)
	if err := k.Node.Netlink().LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	was := k.show()
	if !strings.Contains(was, "qdisc mq 0:") {
		t.Fatalf("no mq:\n%s", was)
	}
	on := link(1e9)
	on.Name = "card0"
	s := k.shaper(shape.HTB, on)
	if is := k.show(); !strings.Contains(is, "qdisc htb a0e:") || strings.Contains(is, "qdisc mq 0:") {
		t.Errorf("there is\n%s", is)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	k.same(was)
}

// What somebody chose is not replaced unasked, nor what could not be put back.
func TestKernelConflict(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []change
		replace bool
	}{
		{"unasked", []change{qdisc(generic("pfifo"), netlink.HANDLE_ROOT, 0)}, false},
		{"classes", []change{qdisc(func(a netlink.QdiscAttrs) netlink.Qdisc { return netlink.NewHtb(a) }, netlink.HANDLE_ROOT, netlink.MakeHandle(1, 0))}, true},
		{"old ingress", []change{qdisc(func(a netlink.QdiscAttrs) netlink.Qdisc { return &netlink.Ingress{QdiscAttrs: a} }, netlink.HANDLE_INGRESS, netlink.MakeHandle(0xffff, 0))}, true},
		{"first place", []change{addClsact, addFilter(netlink.HANDLE_MIN_EGRESS, 1)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			k.prepare(c.changes...)
			was := k.show()
			testkit.Need(t, shape.Supports(shape.HTB))
			s, err := shape.Open(shape.Options{Writer: k.w, Mode: shape.HTB})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			l := link(1e9)
			l.Replace = c.replace
			var u *feature.UnsupportedError
			if err := s.Attach(l); !errors.As(err, &u) || u.Reason != feature.Conflict || u.Fix == "" {
				t.Errorf("got %v", err)
			}
			k.same(was)
		})
	}
}

// agent shares the uplink and a bridge's port, says so and waits for its end.
func agent() error {
	j, err := journal.Open(os.Args[1])
	if err != nil {
		return err
	}
	j.Restore(context.Background(), cgroup.Undo)
	s, err := shape.Open(shape.Options{Writer: cgroup.NewWriter(j, "qos"), Mode: shape.HTB})
	if err != nil {
		return err
	}
	l := link(1e9)
	l.Replace = true
	if err := s.Attach(l); err != nil {
		return err
	}
	links, err := s.Conn().Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Master != 0 {
			if err := s.SetPort(l, shape.BE); err != nil {
				return err
			}
		}
	}
	fmt.Println("ready")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	return errors.Join(err, s.Close())
}

// killed runs the agent on a journal until it is ready, and kills it.
func (k *kit) killed(dir string) { k.kill("agent", dir, 0) }

// kill runs a role on a journal and kills it some time after it is ready.
func (k *kit) kill(role, dir string, after time.Duration) {
	k.Helper()
	cmd := exec.Command("/proc/self/exe", dir)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		k.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.Fatal(err)
	}
	if err := k.Node.Do(cmd.Start); err != nil {
		k.Fatal(err)
	}
	if s, err := bufio.NewReader(out).ReadString('\n'); err != nil || s != "ready\n" {
		k.Errorf("%s: %q, %v", role, s, err)
	}
	time.Sleep(after)
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
}

func TestKernelKilled(t *testing.T) {
	testkit.Need(t, shape.Supports(shape.HTB))
	for _, o := range others {
		t.Run(o.name, func(t *testing.T) {
			k := open(t)
			k.prepare(o.changes...)
			if _, err := k.AddPod(9, true); err != nil {
				t.Fatal(err)
			}
			was, dir := k.show(), t.TempDir()
			for range 3 { // the second and third find what the one before left
				k.killed(dir)
				if is := k.show(); !strings.Contains(is, "a0e:") || !strings.Contains(is, "anole-port") {
					t.Fatalf("it does not outlive its process:\n%s", is)
				}
			}
			j, err := journal.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			if rep := j.Restore(context.Background(), cgroup.Undo); rep.Restored != 2 || len(rep.Failed) > 0 {
				t.Errorf("restore: %+v", rep)
			}
			k.same(was)
		})
	}
}

// flip begins and ends to share all the time, so that it is nearly always in the
// middle of something.
func flip() error {
	j, err := journal.Open(os.Args[1])
	if err != nil {
		return err
	}
	j.Restore(context.Background(), cgroup.Undo)
	s, err := shape.Open(shape.Options{Writer: cgroup.NewWriter(j, "qos"), Mode: shape.HTB})
	if err != nil {
		return err
	}
	links, err := s.Conn().Links()
	if err != nil {
		return err
	}
	l := link(1e9)
	l.Replace = true
	for fmt.Println("ready"); ; {
		if err := s.Attach(l); err != nil {
			return err
		}
		for _, p := range links {
			if p.Master != 0 {
				if err := errors.Join(s.SetPort(p, shape.BE), s.ClearPort(p.Index)); err != nil {
					return err
				}
			}
		}
		if err := s.Detach(l.Name); err != nil {
			return err
		}
	}
}

func TestKernelKilledAtAnyMoment(t *testing.T) {
	testkit.Need(t, shape.Supports(shape.HTB))
	k := open(t)
	k.prepare(others[3].changes...) // a qdisc that is replaced and put back
	if _, err := k.AddPod(9, true); err != nil {
		t.Fatal(err)
	}
	was, dir, undone := k.show(), t.TempDir(), 0
	rng := rand.New(rand.NewPCG(1, 7))
	for round := range 60 {
		k.kill("flip", dir, time.Duration(rng.IntN(30_000))*time.Microsecond)
		j, err := journal.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		rep := j.Restore(context.Background(), cgroup.Undo)
		_ = j.Close()
		if len(rep.Failed) > 0 {
			t.Fatalf("round %d: %+v", round, rep)
		}
		undone += rep.Restored
		if is := k.show(); is != was {
			t.Fatalf("round %d: there is\n%s\nbefore there was\n%s", round, is, was)
		}
	}
	if undone < 30 {
		t.Errorf("only %d entries were undone: this tests nothing", undone)
	}
}

// A journal that is lost leaves traces that the next run knows for its own.
func TestKernelJournalLost(t *testing.T) {
	testkit.Need(t, shape.Supports(shape.HTB))
	k := open(t)
	was := k.show()
	k.killed(t.TempDir())
	s := k.shaper(shape.HTB, link(1e9))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	k.same(was)
}

func TestKernelLinkGoneOrRenamed(t *testing.T) {
	k := open(t)
	was := k.show()
	s := k.shaper(shape.HTB, link(1e9))
	rename := func(from, to string) {
		if err := k.Node.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(lab.Uplink, "other0")
	if f := s.Check(); len(f) != 1 || f[0].What != "renamed" || f[0].Err != nil {
		t.Errorf("renamed: %+v", f)
	}
	rename("other0", lab.Uplink)
	k.same(was)

	if err := s.Attach(link(1e9)); err != nil {
		t.Fatal(err)
	}
	if err := k.Node.Remove(lab.Uplink); err != nil {
		t.Fatal(err)
	}
	if f := s.Check(); len(f) != 1 || f[0].What != "gone" || f[0].Err != nil {
		t.Errorf("gone: %+v", f)
	}
	if left := k.j.Pending(); len(left) > 0 || len(s.Links()) > 0 {
		t.Errorf("left: %+v, %v", left, s.Links())
	}
}

// What somebody takes away is set up again; what somebody puts there stays.
func TestKernelOthersInterfere(t *testing.T) {
	k := open(t)
	was := k.show()
	s := k.shaper(shape.HTB, link(1e9))
	with := k.show()
	del := func(q func(netlink.QdiscAttrs) netlink.Qdisc, parent, handle uint32) change {
		return func(h *netlink.Handle, index int) error {
			return h.QdiscDel(q(netlink.QdiscAttrs{LinkIndex: index, Parent: parent, Handle: handle}))
		}
	}
	for name, c := range map[string]change{
		"root":   del(generic("htb"), netlink.HANDLE_ROOT, 0),
		"clsact": del(generic("clsact"), netlink.HANDLE_CLSACT, netlink.MakeHandle(0xffff, 0)),
		"filter": func(h *netlink.Handle, index int) error {
			return h.FilterDel(&netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Priority: 1, Handle: netlinkx.Major, Protocol: unix.ETH_P_ALL}})
		},
	} {
		k.prepare(c)
		if is := k.show(); is == with {
			t.Fatalf("%s: it is still there", name)
		}
		if f := s.Check(); len(f) != 1 || f[0].What != "repaired" || f[0].Err != nil {
			t.Errorf("%s: %+v", name, f)
		}
		if f := s.Check(); len(f) > 0 {
			t.Errorf("after the repair: %+v", f)
		}
		if is := k.show(); is != with {
			t.Errorf("%s: repaired to\n%s\nit was\n%s", name, is, with)
		}
	}
	k.prepare(qdisc(generic("pfifo"), netlink.HANDLE_ROOT, netlink.MakeHandle(9, 0)))
	var u *feature.UnsupportedError
	if f := s.Check(); len(f) != 1 || f[0].What != "replaced" || !errors.As(f[0].Err, &u) || u.Reason != feature.Conflict {
		t.Errorf("replaced: %+v", f)
	}
	if is := k.show(); !strings.Contains(is, "qdisc pfifo 9:") || strings.Contains(is, "clsact") {
		t.Errorf("there is\n%s", is)
	}
	k.prepare(del(generic("pfifo"), netlink.HANDLE_ROOT, netlink.MakeHandle(9, 0)))
	k.same(was)
}

// programs counts the loaded programs with the names of this package's.
func programs(t *testing.T) (n int) {
	t.Helper()
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // it went meanwhile
		}
		info, err := p.Info()
		if err == nil && (info.Name == "egress_htb" || info.Name == "egress_edt" || info.Name == "port") {
			n++
		}
		_ = p.Close()
	}
}

func TestKernelHundredTimesLeavesNothing(t *testing.T) {
	k := open(t)
	was, loaded := k.show(), programs(t)
	testkit.Need(t, shape.Supports(shape.HTB))
	for range 100 {
		s, err := shape.Open(shape.Options{Writer: k.w, Mode: shape.HTB})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Attach(link(1e9)), s.SetGroup(k.be.id, shape.BE), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	k.same(was)
	// The kernel frees a program a little after its last user.
	for range 100 {
		if programs(t) <= loaded {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%d programs are loaded, %d were before", programs(t), loaded)
}
