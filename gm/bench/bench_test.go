package bench

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/testkit"
)

var peersFolder = filepath.Join("..", "..", ".cache", "peers")

// targets are of the issue, by the results' ids.
var targets = map[string]map[string]string{
	"sm4-ecb":           {"sm4-ecb": ">=2.3"},
	"sm4-ctr":           {"sm4-ctr": ">=2.3", "sm4-ctr-gmsm": ">=12"},
	"sm4-gcm-16k":       {"sm4-gcm-16k": ">=2.1", "sm4-gcm-16k-aes": ">=1.05"},
	"sm4-gcm-1k":        {"sm4-gcm-1k": "", "sm4-gcm-1k-aes": ""},
	"sm4-gcm-small":     {"sm4-gcm-64": ">=3.5", "sm4-gcm-256": ""},
	"sm4-ccm":           {"sm4-ccm": ">=1.5"},
	"sm4-xts":           {"sm4-xts": ">=2.2"},
	"sm4-sectors":       {"sm4-xts-run": ">=2.2"},
	"sm4-cbc":           {"sm4-cbc": ">=1.35"},
	"sm4-messages":      {"sm4-cbc-many": ">=35", "sm4-cbc-many-16": ""},
	"sm3-16k":           {"sm3-16k": ">=1.05", "sm3-16k-gmsm": ""},
	"sm3-64":            {"sm3-64": ""},
	"sm3-many":          {"sm3-many": ">=10", "sm3-many-16": "", "sm3-many-far": ""},
	"sm3-files":         {"sm3-files": ">=4"},
	"sm2-sign-single":   {"sm2-sign-single": ">=2.2"},
	"sm2-sign-many":     {"sm2-sign-many": ">=500", "sm2-sign-many-gmsm": ""},
	"sm2-sign-batch":    {"sm2-sign-batch": ">=500", "sm2-sign-batch-gmsm": ""},
	"sm2-verify-single": {"sm2-verify-single": ">=1.5"},
	"sm2-verifier":      {"sm2-verifier": ">=3.2"},
	"sm2-verify-many":   {"sm2-verify-many": ">=4.7"},
	"allocs":            {"allocs-seal": "=0", "allocs-open": "=0", "allocs-sm3": "=0", "allocs-sm3-many": "=0"},
}

// What each case measures is there, is a number, and has its target. Where a peer computes
// something else, the case fails.
func TestCases(t *testing.T) {
	if len(targets) != len(cases) {
		t.Errorf("targets of %d cases, and there are %d", len(targets), len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			o := Options{Cases: []string{c.Name}, Short: true, Peers: peersFolder}
			if c.Name == "sm3-files" {
				o.Sum = []string{testkit.NeedPeer(t, "cksum-9.7"), "-a", "sm3", "--untagged"}
			}
			var got []benchfmt.Result
			o.Save = func(r []benchfmt.Result) error {
				got = append(got, r...)
				return nil
			}
			testkit.Need(t, Bench(t.Context(), o))
			for _, r := range got {
				check(t, targets[c.Name], r)
			}
			if len(got) < len(targets[c.Name]) {
				t.Errorf("%d results, want %d", len(got), len(targets[c.Name]))
			}
		})
	}
}

func check(t *testing.T, targets map[string]string, r benchfmt.Result) {
	t.Helper()
	for id, target := range targets {
		want := benchfmt.Result{ID: id, Target: target, Unit: r.Unit}
		of(&want, sm4.Implementation())
		if r.ID != want.ID {
			continue
		}
		if r.Target != want.Target || r.Kernel == "" || r.What == "" || r.Rounds != 1 {
			t.Errorf("%+v, want the target %q", r, want.Target)
		}
		if r.Unit != allocUnit && !(r.Ours > 0) || r.PeerName != "" && !(r.Peer > 0 && r.Ratio > 0) || math.IsInf(r.Ours+r.Ratio, 0) {
			t.Errorf("%+v is no measurement", r)
		}
		return
	}
	t.Errorf("result %s is not expected", r.ID)
}

func TestChosen(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  int
	}{{nil, len(cases)}, {[]string{"sm4"}, len(sm4Cases)}, {[]string{"sm4-gcm"}, 3}, {[]string{"sm2-verify"}, 2}, {[]string{"sm"}, 0}} {
		n := 0
		for i := range cases {
			if cases[i].Chosen(c.names) {
				n++
			}
		}
		if n != c.want {
			t.Errorf("%v chooses %d cases, want %d", c.names, n, c.want)
		}
	}
	if err := Bench(t.Context(), Options{Cases: []string{"sm"}}); err == nil || !strings.Contains(err.Error(), "sm4-ecb") {
		t.Errorf("a case that there is not: %v", err)
	}
}

func TestOtherImplementation(t *testing.T) {
	r := benchfmt.Result{ID: "a", What: "b", Target: ">=2"}
	of(&r, "avx512")
	if r.ID != "a" || r.Target != ">=2" {
		t.Errorf("%+v", r)
	}
	if of(&r, "generic"); r.ID != "a-generic" || r.What != "b, generic" || r.Target != "" {
		t.Errorf("%+v", r)
	}
}

func TestParseAnswer(t *testing.T) {
	const end = "000102030405060708090a0b0c0d0e0f"
	got, text, err := parseAnswer("1500 2000 " + end)
	if want := (took{1500, 2000}); err != nil || got != want || text != end {
		t.Errorf("%v %q %v", got, text, err)
	}
	for _, bad := range []string{"", "1 2", "1 2 3", "1 2 " + end + " 4", "x 2 " + end, "1 2.5 " + end, "-1 2 " + end, "1  2 " + end, "99999999999999999999 2 " + end} {
		if _, _, err := parseAnswer(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// The driver says what it does not do, and goes on.
func TestDriver(t *testing.T) {
	d, err := startGcrypt(peersFolder)
	testkit.Need(t, err)
	defer d.close()
	if !strings.HasPrefix(d.name, "libgcrypt 1.") {
		t.Errorf("it is %q", d.name)
	}
	for _, bad := range []string{"", "ecb", "des 1024 1", "ecb 8 1", "ecb 1024 0", "ecb 65537 1", "ecb 1000 1", "a-name-that-is-too-long 1024 1"} {
		if a, err := d.ask(bad); err == nil {
			t.Errorf("%q is answered %q", bad, a)
		}
	}
	a, _, err := d.subject("sm3", 1024).run(10)
	if err != nil || a.cpu <= 0 || a.wall <= 0 {
		t.Errorf("%v %v", a, err)
	}
	d.close()
	if _, err := d.ask("version"); err == nil {
		t.Error("a driver that has ended answers")
	}
	if _, err := os.Stat(d.folder); err == nil {
		t.Error("what was compiled is still there")
	}
}

func TestWithoutPeers(t *testing.T) {
	for _, name := range []string{"sm4-ecb", "sm3-many", "sm3-files"} {
		err := Bench(t.Context(), Options{Cases: []string{name}, Short: true, Peers: t.TempDir()})
		var u *feature.UnsupportedError
		if !errors.As(err, &u) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fake takes cpu and wall for each operation.
func fake(name, end string, cpu, wall time.Duration) *subject {
	return &subject{name: name, work: 10, run: func(n int) (took, string, error) {
		return took{time.Duration(n) * cpu, time.Duration(n) * wall}, end, nil
	}}
}

func TestSame(t *testing.T) {
	a, b, silent, program := fake("", "01", 1, 1), fake("b", "02", 1, 1), fake("c", "", 1, 1), fake("d", "03", 1, 1)
	program.n = 1
	if err := same([]*subject{a, silent, program, a}); err != nil {
		t.Error(err)
	}
	if err := same([]*subject{a, silent, b}); err == nil {
		t.Error("different results are the same")
	}
}

func TestCalibrate(t *testing.T) {
	s := fake("", "", 3*time.Microsecond, 3*time.Microsecond)
	if err := s.calibrate(30 * time.Millisecond); err != nil || s.n < 9_900 || s.n > 10_100 {
		t.Errorf("%d operations, %v", s.n, err)
	}
	program := fake("", "", time.Second, time.Second)
	program.n = 1
	if err := program.calibrate(time.Millisecond); err != nil || program.n != 1 {
		t.Errorf("%d runs of a program, %v", program.n, err)
	}
}

func TestTurns(t *testing.T) {
	a, b := fake("a", "", time.Microsecond, time.Microsecond), fake("b", "", 2*time.Microsecond, 4*time.Microsecond)
	a.n, b.n = 100, 100
	for first := range 3 {
		rates, alone, err := turns([]*subject{a, b}, first)
		if err != nil || math.Abs(rates[0]-1e7) > 1 || math.Abs(rates[1]-5e6) > 1 {
			t.Errorf("%v %v", rates, err)
		}
		if alone {
			t.Error("who waited for the CPU was alone on it")
		}
	}
	if _, _, err := turns([]*subject{fake("c", "", 0, 1)}, 0); err == nil {
		t.Error("work in no time is a measurement")
	}
}

func TestPin(t *testing.T) {
	var before, during, after unix.CPUSet
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	unpin, err := pin()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedGetaffinity(0, &during); err != nil || during.Count() != 1 {
		t.Errorf("on %d CPUs, %v", during.Count(), err)
	}
	unpin()
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("on %d CPUs afterwards, %d before, %v", after.Count(), before.Count(), err)
	}
}

func TestSameSums(t *testing.T) {
	dir := t.TempDir()
	hash := strings.Repeat("ab", 32)
	echo := func(lines ...string) []string { return append([]string{"printf", "%s\n"}, lines...) }
	if err := sameSums(dir, 2, echo(hash+"  a", hash+"  b"), echo("SM3 (a) = "+hash, "SM3 (b) = "+hash)); err != nil {
		t.Error(err)
	}
	for _, other := range [][]string{echo(hash), echo(hash, strings.Repeat("cd", 32)), echo(hash, hash, hash), {"false"}} {
		if err := sameSums(dir, 2, echo(hash, hash), other); err == nil {
			t.Errorf("%q prints the same", other)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	names, err := files(dir, 3, 64)
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(b) != 64 {
			t.Fatalf("%s: %d bytes, %v", name, len(b), err)
		}
		contents = append(contents, string(b))
	}
	if slices.Sort(contents); len(slices.Compact(contents)) != 3 {
		t.Error("files are the same")
	}
}

func TestLine(t *testing.T) {
	for want, r := range map[string]benchfmt.Result{
		"a 5 k/s, p 2, ratio 2.500 (2 to 3), target >=2: true": {ID: "a", Ours: 5, Unit: "k/s", Peer: 2, PeerName: "p", Ratio: 2.5, Spread: benchfmt.Spread{Min: 2, Max: 3}, Target: ">=2", Meets: true},
		"a 5 k/s (4 to 6)": {ID: "a", Ours: 5, Unit: "k/s", Spread: benchfmt.Spread{Min: 4, Max: 6}},
	} {
		if got := strings.Join(strings.Fields(line(&r)), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	var keep []byte
	if n := allocations(func() { keep = make([]byte, 64) }); n < 1 || n > 1.1 {
		t.Errorf("%v of one", n)
	}
	runtime.KeepAlive(keep)
}
