package qos

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/runq"
)

func probed(t *testing.T, name string) feature.Result {
	t.Helper()
	for _, p := range Probes("") {
		if p.Name() == name {
			return p.Result()
		}
	}
	t.Fatalf("nothing asks for %q", name)
	return feature.Result{}
}

// Where the run queue can be traced and threads of others may be moved,
// steering is a yes, and asking leaves no real-time thread behind.
func TestProbeOfSteering(t *testing.T) {
	r := probed(t, "steering")
	may, err := sys.Capable(unix.CAP_SYS_NICE)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case runtime.GOMAXPROCS(0) < 2:
		if r.Reason != feature.NoHardware {
			t.Errorf("with one CPU: %+v", r)
		}
	case !may:
		if r.Reason != feature.NoPrivilege {
			t.Errorf("without CAP_SYS_NICE: %+v", r)
		}
	default:
		testkit.Need(t, runq.Probe())
		if r.Answer != feature.Yes || !strings.Contains(r.Detail, "SCHED_FIFO") {
			t.Errorf("where it can work: %+v", r)
		}
	}
	for end := time.Now().Add(30 * time.Second); realTimeThread(t); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a real-time thread was left behind")
		}
	}
}

func realTimeThread(t *testing.T) bool {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(threads, func(d os.DirEntry) bool {
		tid, _ := strconv.Atoi(d.Name())
		s, err := sys.GetSched(tid)
		return err == nil && s.Policy == sys.SCHED_FIFO
	})
}

// What nothing uses says so and asks nobody to get it.
func TestProbesOfWhatIsNotUsed(t *testing.T) {
	for _, name := range []string{"CPI (PMU)", "resctrl", "core scheduling"} {
		r := probed(t, name)
		if !strings.HasPrefix(r.Doc, "not used yet") {
			t.Errorf("%s gives %q", name, r.Doc)
		}
		if r.Answer == feature.No && !strings.HasPrefix(r.Fix, "none needed") {
			t.Errorf("%s asks for %q", name, r.Fix)
		}
	}
}
