package actuate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

// Mechanism is a way to make best-effort work yield the CPU.
type Mechanism string

// Mechanisms, best first: the ladder.
const (
	BVT      Mechanism = "cpu.bvt_warp_ns" // ANCK Group Identity: -1
	QoSLevel Mechanism = "cpu.qos_level"   // openEuler: -1
	Idle     Mechanism = "cpu.idle"        // mainline 5.15: 1
	Weight   Mechanism = "weight"          // the least cpu.shares or cpu.weight
)

// Ladder lists the mechanisms, best first.
func Ladder() []Mechanism { return []Mechanism{BVT, QoSLevel, Idle, Weight} }

var needs = map[Mechanism][2]string{
	BVT:      {"Group Identity of the Anolis Cloud Kernel (ANCK)", "boot an ANCK kernel; cpu.idle serves without it"},
	QoSLevel: {"CONFIG_QOS_SCHED of the openEuler kernel", "boot an openEuler kernel; cpu.idle serves without it"},
	Idle:     {"Linux 5.15 or later", "upgrade the kernel; the weight serves without it"},
	Weight:   {"the cpu controller", "enable the cpu cgroup controller"},
}

func (m Mechanism) edit(g *Group) cgroup.Edit {
	switch m {
	case BVT, QoSLevel:
		return g.edit(string(m), "-1")
	case Idle:
		return g.edit(string(m), "1")
	}
	return g.weight()
}

func (g *Group) weight() cgroup.Edit {
	if g.v == cgroup.V2 {
		return g.edit("cpu.weight", "1")
	}
	return g.edit("cpu.shares", "2")
}

// Yield gives the write that makes a group of best-effort work yield by
// mechanism m, and the files to journal before it, in order. The kernel loses
// a group's weight when cpu.idle is set (it reads 3 then, 1024 after), and
// refuses a weight while it is 1: so the weight is journalled first and
// restored last.
func (g *Group) Yield(m Mechanism) (write cgroup.Edit, originals []cgroup.Edit) {
	write = m.edit(g)
	if m == Idle {
		return write, []cgroup.Edit{g.weight(), write}
	}
	return write, []cgroup.Edit{write}
}

// Supports tries mechanism m in a cgroup of its own and removes it. A nil
// error is yes, *feature.UnsupportedError no, any other could-not-tell.
func Supports(t *cgroup.Tree, m Mechanism) error {
	return InProbe(t, string(m), func(g *Group) error { return g.try(m) })
}

// try makes the group yield by m, which is Supports' question.
func (g *Group) try(m Mechanism) error {
	w, _ := g.Yield(m)
	if !g.CPU.Has(w.File) {
		return Unsupported(m, unix.ENOENT)
	}
	if err := os.WriteFile(g.Path(w.File), []byte(w.Value), 0); err != nil {
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			return Unsupported(m, err)
		}
		return fmt.Errorf("try %s: %w", m, err)
	}
	return nil
}

// Unsupported says that the node lacks mechanism m.
func Unsupported(m Mechanism, err error) error {
	n := needs[m]
	return &feature.UnsupportedError{Feature: string(m), Reason: feature.NoKernel, Need: n[0], Fix: n[1], Err: err}
}

// InProbe runs ask on a fresh cgroup that it removes again.
func InProbe(t *cgroup.Tree, what string, ask func(*Group) error) error {
	if _, ok := t.Version("cpu"); !ok {
		return &feature.UnsupportedError{
			Feature: what, Reason: feature.NoKernel, Need: "the cpu cgroup controller",
			Fix: "boot with cgroups, and on cgroup v2 delegate cpu: echo +cpu > cgroup.subtree_control",
		}
	}
	root := t.Path("cpu", "/")
	path, err := os.MkdirTemp(root, probePrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return fmt.Errorf("probe %s: %w", what, denied(what, err))
	}
	defer os.Remove(path)
	g, err := OpenGroup(t, "/"+filepath.Base(path))
	if err != nil {
		return fmt.Errorf("probe %s: %w", what, err)
	}
	defer g.Close()
	return ask(g)
}

// ProbeIn runs ask on a fresh cgroup of a controller's hierarchy that it removes
// again.
func ProbeIn(t *cgroup.Tree, controller string, ask func(*cgroup.Dir) error) error {
	root := t.Path(controller, "/")
	if root == "" {
		return &feature.UnsupportedError{Feature: controller, Reason: feature.NoKernel, Need: "the " + controller + " cgroup controller"}
	}
	path, err := os.MkdirTemp(root, probePrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return fmt.Errorf("probe %s: %w", controller, denied(controller, err))
	}
	defer os.Remove(path)
	d, err := cgroup.OpenDir(path)
	if err != nil {
		return fmt.Errorf("probe %s: %w", controller, err)
	}
	defer d.Close()
	return ask(d)
}

const probePrefix = "anole-probe-"

// Sweep removes the cgroups of probes whose process was killed before it could.
func Sweep(t *cgroup.Tree) {
	for _, controller := range []string{"cpu", "blkio", "io"} {
		sweep(t.Path(controller, "/"))
	}
}

func sweep(root string) {
	left, err := filepath.Glob(filepath.Join(root, probePrefix+"*"))
	if err != nil || root == "" {
		return
	}
	for _, path := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), probePrefix), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			_ = os.Remove(path) // nothing is ever in it
		}
	}
}

func denied(what string, err error) error {
	if !errors.Is(err, os.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return err
	}
	return &feature.UnsupportedError{
		Feature: what, Reason: feature.NoPrivilege, Need: "write access to the cgroup hierarchy", Fix: "run as root, outside a container or with a writable /sys/fs/cgroup", Err: err,
	}
}

// Choose finds the first mechanism of the ladder that the node supports; why
// says what was found on each rung.
func Choose(t *cgroup.Tree) (m Mechanism, why string, err error) {
	return choose(func(m Mechanism) error { return Supports(t, m) })
}

func choose(supports func(Mechanism) error) (m Mechanism, why string, err error) {
	var found []string
	for _, m := range Ladder() {
		err = supports(m)
		if err == nil {
			found = append(found, string(m)+": present")
			return m, strings.Join(found, "; "), nil
		}
		found = append(found, string(m)+": "+reason(err))
	}
	return "", strings.Join(found, "; "), err
}

func reason(err error) string {
	var u *feature.UnsupportedError
	if errors.As(err, &u) && u.Reason == feature.NoKernel {
		return "absent"
	}
	return err.Error()
}
