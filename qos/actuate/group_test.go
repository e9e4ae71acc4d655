package actuate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/test/fault/groups"
)

// fixture makes a tree of plain files that stands for a node: version 1 has
// the cpu controller at /sys/fs/cgroup/cpu, version 2 at /sys/fs/cgroup.
func fixture(t *testing.T, v cgroup.Version, files map[string]string) (*cgroup.Tree, *Group) {
	t.Helper()
	root := t.TempDir()
	mount, line := "/sys/fs/cgroup", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 none rw\n"
	if v == cgroup.V1 {
		mount, line = "/sys/fs/cgroup/cpu", "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup none rw,cpu\n"
	}
	put := func(path, content string) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("/proc/self/mountinfo", line)
	put(mount+"/cgroup.controllers", "cpuset cpu memory\n")
	for f, content := range files {
		put(mount+"/g/"+f, content)
	}
	tree, err := cgroup.Detect(root)
	if err != nil {
		t.Fatal(err)
	}
	g, err := OpenGroup(tree, "/g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return tree, g
}

var (
	filesV1 = map[string]string{fileQuota: "-1\n", filePeriod: "100000\n", fileBurst: "0\n", "cpu.shares": "1024\n", "cpu.idle": "0\n"}
	filesV2 = map[string]string{fileMax: "max 100000\n", fileMaxB: "0\n", "cpu.weight": "100\n", "cpu.idle": "0\n"}
)

func with(files map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for f, v := range files {
		out[f] = v
	}
	for _, f := range more {
		out[f] = "0\n"
	}
	return out
}

func TestBandwidthIsRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		v     cgroup.Version
		files map[string]string
		want  burst.Bandwidth
		bad   bool
	}{
		{"v1 none", cgroup.V1, filesV1, burst.Bandwidth{Period: 100_000, Quota: burst.Unlimited}, false},
		{"v1", cgroup.V1, map[string]string{fileQuota: "30000\n", filePeriod: "50000\n", fileBurst: "7000\n"}, burst.Bandwidth{Period: 50_000, Quota: 30_000, Burst: 7000}, false},
		{"v1 without burst", cgroup.V1, map[string]string{fileQuota: "30000\n", filePeriod: "50000\n"}, burst.Bandwidth{Period: 50_000, Quota: 30_000}, false},
		{"v2 none", cgroup.V2, filesV2, burst.Bandwidth{Period: 100_000, Quota: burst.Unlimited}, false},
		{"v2", cgroup.V2, map[string]string{fileMax: "30000 50000\n", fileMaxB: "7000\n"}, burst.Bandwidth{Period: 50_000, Quota: 30_000, Burst: 7000}, false},
		{"v2 torn", cgroup.V2, map[string]string{fileMax: "30000\n"}, burst.Bandwidth{}, true},
		{"v2 garbage", cgroup.V2, map[string]string{fileMax: "many 100000\n"}, burst.Bandwidth{}, true},
		{"v1 absent", cgroup.V1, map[string]string{"cpu.shares": "2\n"}, burst.Bandwidth{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, g := fixture(t, c.v, c.files)
			got, err := g.Bandwidth()
			if (err != nil) != c.bad || !c.bad && got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestLadder(t *testing.T) {
	for _, v := range []cgroup.Version{cgroup.V1, cgroup.V2} {
		base := map[cgroup.Version]map[string]string{cgroup.V1: filesV1, cgroup.V2: filesV2}[v]
		weight := map[cgroup.Version][2]string{cgroup.V1: {"cpu.shares", "2"}, cgroup.V2: {"cpu.weight", "1"}}[v]
		old := with(base)
		delete(old, "cpu.idle")
		for _, c := range []struct {
			name        string
			files       map[string]string
			want        Mechanism
			file, value string
		}{
			{"ANCK", with(base, "cpu.bvt_warp_ns", "cpu.qos_level"), BVT, "cpu.bvt_warp_ns", "-1"},
			{"openEuler", with(base, "cpu.qos_level"), QoSLevel, "cpu.qos_level", "-1"},
			{"mainline", base, Idle, "cpu.idle", "1"},
			{"before 5.15", old, Weight, weight[0], weight[1]},
		} {
			t.Run(fmt.Sprintf("v%d %s", v, c.name), func(t *testing.T) {
				_, g := fixture(t, v, c.files)
				m, why, err := choose(g.try)
				if err != nil || m != c.want || !strings.Contains(why, string(c.want)+": present") {
					t.Fatalf("%s, %q, %v", m, why, err)
				}
				for _, above := range Ladder() {
					if above == m {
						break
					}
					if !strings.Contains(why, string(above)+": absent") {
						t.Errorf("%q does not tell of %s", why, above)
					}
				}
				got, err := os.ReadFile(g.Path(c.file))
				if err != nil || string(got) != c.value {
					t.Errorf("%s holds %q, %v", c.file, got, err)
				}
			})
		}
	}
}

func TestLadderWithoutAnyRung(t *testing.T) {
	_, g := fixture(t, cgroup.V2, map[string]string{"cgroup.procs": ""})
	m, why, err := choose(g.try)
	var u *feature.UnsupportedError
	if m != "" || !errors.As(err, &u) || u.Reason != feature.NoKernel || strings.Count(why, "absent") != len(Ladder()) {
		t.Errorf("%q, %q, %v", m, why, err)
	}
}

// Idle takes the weight away: the weight is journalled first, so restored last.
func TestYieldJournalsTheWeightBeforeIdle(t *testing.T) {
	_, g := fixture(t, cgroup.V1, filesV1)
	w, o := g.Yield(Idle)
	if w.File != "cpu.idle" || len(o) != 2 || o[0].File != "cpu.shares" || o[1].File != "cpu.idle" {
		t.Errorf("%+v %+v", w, o)
	}
}

// model is the kernel's side of one group, with tg_set_cfs_bandwidth's rules,
// below a parent with a limit of its own.
type model struct {
	v      cgroup.Version
	b      burst.Bandwidth
	parent float64 // CPUs, 0 for none
}

// write takes one edit as the kernel would.
func (m *model) write(e cgroup.Edit) error {
	to := m.b
	number := func(s string) burst.Micros {
		if s == "-1" || s == "max" {
			return burst.Unlimited
		}
		n, _ := strconv.ParseInt(s, 10, 64)
		return burst.Micros(n)
	}
	switch e.File {
	case fileQuota:
		to.Quota = number(e.Value)
	case filePeriod:
		to.Period = number(e.Value)
	case fileBurst, fileMaxB:
		to.Burst = number(e.Value)
	case fileMax:
		q, p, _ := strings.Cut(e.Value, " ")
		to.Quota, to.Period = number(q), number(p)
	default:
		return unix.ENOENT
	}
	limited := to.Quota != burst.Unlimited
	switch {
	case to.Period < 1000 || to.Period > 1_000_000, limited && to.Quota < 1000, limited && to.Burst > to.Quota,
		m.v == cgroup.V1 && limited && m.parent > 0 && to.Rate() > m.parent+1e-9:
		return unix.EINVAL
	}
	m.b = to
	return nil
}

// randomLimit makes a limit that the kernel takes, of at most most CPUs.
func randomLimit(rng *rand.Rand, most float64) burst.Bandwidth {
	b := burst.Bandwidth{Period: burst.Micros(10_000 + rng.Int64N(990_001)), Quota: burst.Unlimited}
	if rng.IntN(5) == 0 {
		return b
	}
	b.Quota = max(1000, burst.Micros(float64(b.Period)*most*(0.1+0.9*rng.Float64())))
	switch rng.IntN(3) {
	case 0:
		b.Burst = b.Quota
	case 1:
		b.Burst = burst.Micros(rng.Int64N(int64(b.Quota) + 1))
	}
	return b
}

func rate(b burst.Bandwidth) float64 {
	if b.Quota == burst.Unlimited {
		return 1e9
	}
	return b.Rate()
}

func TestStepsOnTheModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for _, v := range []cgroup.Version{cgroup.V1, cgroup.V2} {
		files := map[cgroup.Version]map[string]string{cgroup.V1: filesV1, cgroup.V2: filesV2}[v]
		_, g := fixture(t, v, files)
		for i := range 1000 {
			m := &model{v: v}
			most := 4.0
			if i%2 == 0 {
				m.parent, most = 0.5, 0.5
			}
			from, to := randomLimit(rng, most), randomLimit(rng, most)
			m.b = from
			for _, e := range g.Steps(from, to) {
				if err := m.write(e); err != nil {
					t.Fatalf("v%d %+v -> %+v: %s=%s at %+v: %v", v, from, to, e.File, e.Value, m.b, err)
				}
				if rate(m.b) > max(rate(from), rate(to))+1e-9 {
					t.Fatalf("v%d %+v -> %+v: %+v on the way allows more than both", v, from, to, m.b)
				}
				if m.b.Burst > max(from.Burst, to.Burst) {
					t.Fatalf("v%d %+v -> %+v: burst %v on the way", v, from, to, m.b.Burst)
				}
			}
			if m.b != to {
				t.Fatalf("v%d %+v -> %+v ended at %+v", v, from, to, m.b)
			}
		}
	}
}

func TestStepsOfNoChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	_, g := fixture(t, cgroup.V1, filesV1)
	for range 100 {
		b := randomLimit(rng, 2)
		if s := g.Steps(b, b); len(s) != 0 {
			t.Fatalf("%+v to itself: %+v", b, s)
		}
	}
}

func TestKernelTakesSteps(t *testing.T) {
	n := groups.Open(t)
	n.V1()
	parent, child := n.Make("parent"), n.Make("parent/child")
	parent.Write(filePeriod, "100000")
	g, err := OpenGroup(n.Tree, child.Rel)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	rng := rand.New(rand.NewPCG(31, 32))
	from, err := g.Bandwidth()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if i == 50 { // the rest below a parent with a limit
			parent.Write(fileQuota, "-1")
			child.Write(fileBurst, "0")
			child.Write(fileQuota, "-1")
			parent.Write(fileQuota, "50000")
			if from, err = g.Bandwidth(); err != nil {
				t.Fatal(err)
			}
		}
		to := randomLimit(rng, 0.49)
		for _, e := range g.Steps(from, to) {
			if err := os.WriteFile(g.Path(e.File), []byte(e.Value), 0); err != nil {
				t.Fatalf("%+v -> %+v: %v", from, to, err)
			}
		}
		if got, err := g.Bandwidth(); err != nil || got != to {
			t.Fatalf("%+v -> %+v ended at %+v, %v", from, to, got, err)
		}
		from = to
	}
}

func TestKernelProbesLeaveNothing(t *testing.T) {
	n := groups.Open(t)
	mine := n.Tree.Path("cpu", fmt.Sprintf("/anole-probe-%d-*", os.Getpid()))
	if _, why, err := Choose(n.Tree); err != nil {
		t.Errorf("%s: %v", why, err)
	}
	if left, _ := filepath.Glob(mine); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// One that a killed process left is swept, one of a living process is not.
	dead, alive := n.Tree.Path("cpu", "/anole-probe-2147483646-1"), strings.TrimSuffix(mine, "*")+"1"
	for _, d := range []string{dead, alive} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(d)
	}
	Sweep(n.Tree)
	if _, err := os.Stat(dead); err == nil {
		t.Error("a dead process's probe was not swept")
	}
	if _, err := os.Stat(alive); err != nil {
		t.Error("a living process's probe was swept")
	}
}
