package shape_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/shape"
	"github.com/anole-os/anole/qos/shape/lab"
)

// tc gives all that it shows of the node's interfaces.
func (k *kit) tc() string {
	k.Helper()
	testkit.NeedTool(k, "tc")
	out := k.run("tc", "qdisc", "show")
	c, err := netlinkx.Open()
	if err != nil {
		k.Fatal(err)
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		k.Fatal(err)
	}
	for _, l := range links {
		out += l.Name + "\n" + k.run("tc", "class", "show", "dev", l.Name) + k.run("tc", "filter", "show", "dev", l.Name)
		if strings.Contains(k.run("tc", "qdisc", "show", "dev", l.Name, "clsact"), "clsact") {
			out += k.run("tc", "filter", "show", "dev", l.Name, "ingress") + k.run("tc", "filter", "show", "dev", l.Name, "egress")
		}
	}
	return packets.ReplaceAllString(out, "")
}

// packets is the one count that tc shows unasked.
var packets = regexp.MustCompile(`direct_packets_stat \d+`)

func (k *kit) run(name string, args ...string) string {
	k.Helper()
	out, err := k.Node.Output(name, args...)
	if err != nil {
		k.Fatal(err)
	}
	return string(out)
}

func (k *kit) same(was string) {
	k.Helper()
	if is := k.tc(); is != was {
		k.Errorf("tc shows\n%s\nbefore it was\n%s", is, was)
	}
	if left := k.j.Pending(); len(left) > 0 {
		k.Errorf("left in the journal: %+v", left)
	}
}

// others are ways in which somebody else used tc before.
var others = []struct {
	name     string
	commands []string
	replace  bool
}{
	{name: "nothing"},
	{name: "clsact", commands: []string{"tc qdisc add dev up0 clsact"}},
	{name: "filter", commands: []string{
		"tc qdisc add dev up0 clsact",
		"tc filter add dev up0 ingress prio 7 u32 match ip dst 10.99.0.1/32 flowid 1:1",
		"tc filter add dev up0 egress prio 7 u32 match ip dst 10.99.0.1/32 flowid 1:1",
	}},
	{name: "pfifo", commands: []string{"tc qdisc add dev up0 root handle 77: pfifo limit 123"}, replace: true},
	{name: "bfifo", commands: []string{"tc qdisc add dev up0 root bfifo limit 123456"}, replace: true},
	{name: "fq_codel", commands: []string{"tc qdisc add dev up0 root handle 5: fq_codel limit 777 target 7ms"}, replace: true},
	{name: "fq", commands: []string{"tc qdisc add dev up0 root fq maxrate 100mbit"}, replace: true},
}

// prepare runs the commands, or skips where the kernel lacks what they need.
func (k *kit) prepare(commands []string) {
	k.Helper()
	testkit.NeedTool(k, "tc")
	for _, c := range commands {
		f := strings.Fields(c)
		if _, err := k.Node.Output(f[0], f[1:]...); err != nil {
			testkit.Need(k, &feature.UnsupportedError{Feature: c, Reason: feature.NoKernel, Need: "a kernel with it", Err: err})
		}
	}
}

func TestKernelUndo(t *testing.T) {
	for _, o := range others {
		t.Run(o.name, func(t *testing.T) {
			k := open(t)
			k.prepare(o.commands)
			was := k.tc()
			l := link(1e9)
			l.Replace = o.replace
			s := k.shaper(shape.HTB, l)
			p, err := k.AddPod(9, true)
			if err != nil {
				t.Fatal(err)
			}
			with := k.tc() // with the pod
			if err := s.SetPort(k.hostEnds(s.Conn(), p)[0], shape.BE); err != nil {
				t.Fatal(err)
			}
			if is := k.tc(); !strings.Contains(is, "a0e:") || !strings.Contains(is, "anole-port") || is == with {
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

// What somebody chose is not replaced unasked, nor what could not be put back.
func TestKernelConflict(t *testing.T) {
	for _, c := range []struct {
		name, command string
		replace       bool
	}{
		{"unasked", "tc qdisc add dev up0 root pfifo", false},
		{"classes", "tc qdisc add dev up0 root handle 1: htb", true},
		{"old ingress", "tc qdisc add dev up0 ingress", true},
		{"first place", "tc qdisc add dev up0 clsact; tc filter add dev up0 egress prio 1 u32 match ip dst 10.99.0.1/32 flowid 1:1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			k.prepare(strings.Split(c.command, ";"))
			was := k.tc()
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
func (k *kit) killed(dir string) {
	k.Helper()
	cmd := exec.Command("/proc/self/exe", dir)
	cmd.Env = append(os.Environ(), roleEnv+"=agent")
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
		k.Errorf("agent: %q, %v", s, err)
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
}

func TestKernelKilled(t *testing.T) {
	testkit.Need(t, shape.Supports(shape.HTB))
	for _, o := range others {
		t.Run(o.name, func(t *testing.T) {
			k := open(t)
			k.prepare(o.commands)
			if _, err := k.AddPod(9, true); err != nil {
				t.Fatal(err)
			}
			was, dir := k.tc(), t.TempDir()
			for range 3 { // the second and third find what the one before left
				k.killed(dir)
				if is := k.tc(); !strings.Contains(is, "a0e:") || !strings.Contains(is, "anole-port") {
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

// A journal that is lost leaves traces that the next run knows for its own.
func TestKernelJournalLost(t *testing.T) {
	testkit.Need(t, shape.Supports(shape.HTB))
	k := open(t)
	was := k.tc()
	k.killed(t.TempDir())
	s := k.shaper(shape.HTB, link(1e9))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	k.same(was)
}

func TestKernelLinkGoneOrRenamed(t *testing.T) {
	k := open(t)
	was := k.tc()
	s := k.shaper(shape.HTB, link(1e9))
	rename := func(from, to string) {
		k.run("ip", "link", "set", from, "down")
		if err := k.Node.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		k.run("ip", "link", "set", to, "up")
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
	was := k.tc()
	s := k.shaper(shape.HTB, link(1e9))
	with := k.tc()
	for _, c := range []string{"tc qdisc del dev up0 root", "tc qdisc del dev up0 clsact", "tc filter del dev up0 egress"} {
		k.prepare([]string{c})
		if f := s.Check(); len(f) != 1 || f[0].What != "repaired" || f[0].Err != nil {
			t.Errorf("%s: %+v", c, f)
		}
		if f := s.Check(); len(f) > 0 {
			t.Errorf("after the repair: %+v", f)
		}
		if is := k.tc(); unnumbered(is) != unnumbered(with) {
			t.Errorf("%s: repaired to\n%s\nit was\n%s", c, is, with)
		}
	}
	k.prepare([]string{"tc qdisc replace dev up0 root handle 9: pfifo limit 50"})
	var u *feature.UnsupportedError
	if f := s.Check(); len(f) != 1 || f[0].What != "replaced" || !errors.As(f[0].Err, &u) || u.Reason != feature.Conflict {
		t.Errorf("replaced: %+v", f)
	}
	if is := k.tc(); !strings.Contains(is, "pfifo 9: dev up0 root") || strings.Contains(is, "clsact") {
		t.Errorf("tc shows\n%s", is)
	}
	k.run("tc", "qdisc", "del", "dev", "up0", "root")
	k.same(was)
}

// unnumbered leaves out the numbers of loaded programs and of actions.
func unnumbered(s string) string {
	var out []string
	for f := range strings.FieldsSeq(s) {
		if !strings.ContainsAny(f, "0123456789") {
			out = append(out, f)
		}
	}
	return strings.Join(out, " ")
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
	was, loaded := k.tc(), programs(t)
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
		k.run("sleep", "0.1")
	}
	t.Errorf("%d programs are loaded, %d were before", programs(t), loaded)
}
