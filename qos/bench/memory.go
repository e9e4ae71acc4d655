package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/load"
	"github.com/anole-os/anole/qos/memory"
)

// The memory bench: in a box of limited memory a service goes over its working
// set twice a second, beside best-effort work that reads a file much larger
// than the box. The file is a hole, so that no disk's speed counts.
const (
	boxSize    = 256 << 20
	workingSet = 140 << 20
	memoryFile = 8 << 30
	touchPause = 500 * time.Millisecond
	// memorySettle is left out of each phase: the kernel and the agent find what
	// each may keep.
	memorySettle = 8 * time.Second
)

var memoryPhases = []string{"solo", "unprotected", "protected"}

// memoryOutcome is what a phase measured.
type memoryOutcome struct {
	faults float64 // major ones of the service
	read   float64 // by best-effort work, MB/s
}

func (b *bencher) memory(ctx context.Context) ([]benchfmt.Result, error) {
	file, err := b.hole()
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	rounds := make([][3]memoryOutcome, b.o.Rounds)
	for i, order := range load.Interleave(b.o.Rounds, len(memoryPhases), 1) {
		for _, k := range order {
			err := b.quiet(ctx, fmt.Sprintf("round %d, %s", i+1, memoryPhases[k]), func() (check, err error) {
				rounds[i][k], check, err = b.memoryPhase(ctx, k, file)
				return check, err
			})
			if err != nil {
				return nil, err
			}
		}
		x := &rounds[i]
		b.Say(fmt.Sprintf("  round %d: major faults solo %.0f, unprotected %.0f, protected %.0f; best effort reads %.0f MB/s unprotected, %.0f protected",
			i+1, x[0].faults, x[1].faults, x[2].faults, x[1].read, x[2].read))
	}
	var extra, bare, with, without []float64
	for i := range rounds {
		extra = append(extra, rounds[i][2].faults-rounds[i][0].faults)
		bare = append(bare, rounds[i][1].faults-rounds[i][0].faults)
		with, without = append(with, rounds[i][2].read), append(without, rounds[i][1].read)
	}
	work, err := paired("memory-be-read", "what that best-effort reader gets done", "MB/s", "no agent", "", with, without)
	return []benchfmt.Result{
		worst("memory-ls-faults", "major faults of an LS service (140 of 256 MiB) in 10 s beside a best-effort reader, more than alone; the highest round", "faults", "<=0", extra),
		single("memory-ls-faults-unprotected", "the same without the agent: shows that the load presses", "faults", ">=10000", bare),
		work,
	}, err
}

// hole makes the file, on a file system whose pages can be dropped.
func (b *bencher) hole() (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(b.dir, &st); err != nil {
		return "", err
	}
	if st.Type == unix.TMPFS_MAGIC {
		return "", &feature.UnsupportedError{Feature: "qos bench memory", Reason: feature.NoHardware, Need: "a file system on a disk below " + os.TempDir(), Fix: "set TMPDIR to one"}
	}
	file := filepath.Join(b.dir, "large")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return "", err
	}
	return file, os.Truncate(file, memoryFile)
}

// forget drops what the kernel has cached of a file: pages that an earlier phase
// paid for are free for the next one.
func forget(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop the cache of %s: %w", file, err)
	}
	return nil
}

// memoryPhase runs solo (0), unprotected (1) or protected (2). check says why it
// is worthless, if it is.
func (b *bencher) memoryPhase(ctx context.Context, kind int, file string) (o memoryOutcome, check, err error) {
	d := b.phaseTime(10 * time.Second)
	if err := forget(file); err != nil {
		return o, nil, err
	}
	pid := os.Getpid()
	root := fmt.Sprintf("/anole-bench-memory-%d", pid)
	box, err := b.group(root)
	if err != nil {
		return o, nil, err
	}
	defer b.drop(box)
	if err := box.memoryLimit(boxSize); err != nil {
		return o, nil, err
	}
	ls, err := b.group(root + "/ls")
	if err != nil {
		return o, nil, err
	}
	defer b.drop(ls)
	be, err := b.group(root + "/be")
	if err != nil {
		return o, nil, err
	}
	defer b.drop(be)
	own := load.MeterOptions{PIDs: []int{pid}, Cgroups: []string{ls.meterDir(), be.meterDir()}, Kernel: true} // reclaim is the kernel's
	if kind == 2 {
		a, err := b.agent(fmt.Sprintf("  rules:\n    - {match: {path: %q}, class: LS}\n    - {match: {path: %q}, class: BE}\n", ls.rel, be.rel))
		if err != nil {
			return o, nil, err
		}
		defer a.stop()
		own.PIDs = append(own.PIDs, a.pid())
	}
	service, err := b.start(ls, "touch", load.FileOptions{File: file, Size: workingSet, Pause: touchPause})
	if err != nil {
		return o, nil, err
	}
	defer service.kill()
	var reader *child
	if kind != 0 {
		if reader, err = b.start(be, "stream", load.FileOptions{File: file, Offset: 1 << 30, Size: 1 << 30}); err != nil {
			return o, nil, err
		}
		defer reader.kill()
	}
	if err := pause(ctx, memorySettle); err != nil {
		return o, nil, err
	}
	m, err := load.OpenMeter(own)
	if err != nil {
		return o, nil, err
	}
	began, read := time.Now(), reader.readBytes()
	was, err := ls.majorFaults()
	if err != nil {
		return o, nil, err
	}
	if err := pause(ctx, d); err != nil {
		return o, nil, err
	}
	now, err := ls.majorFaults()
	if err != nil {
		return o, nil, err
	}
	o = memoryOutcome{now - was, (reader.readBytes() - read) / 1e6 / time.Since(began).Seconds()}
	u, err := m.Sample()
	return o, b.Limits.Check(u), err
}

// memoryLimit bounds what a group and all below may hold.
func (g *group) memoryLimit(bytes int64) error {
	file := memory.FileLimit
	if v, _ := g.tree.Version("memory"); v == cgroup.V1 {
		file = memory.FileLimitV1
	}
	if err := os.WriteFile(filepath.Join(g.tree.Path("memory", g.rel), file), []byte(strconv.FormatInt(bytes, 10)), 0); err != nil {
		return fmt.Errorf("limit memory of %s: %w", g.rel, err)
	}
	return nil
}

// majorFaults counts the group's.
func (g *group) majorFaults() (float64, error) {
	b, err := os.ReadFile(filepath.Join(g.tree.Path("memory", g.rel), memory.FileStat))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "pgmajfault "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, errors.New("no pgmajfault in " + memory.FileStat)
}

// readBytes is what the process has read so far, from files and their cache.
func (c *child) readBytes() float64 {
	if c == nil {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", c.pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "rchar: "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return n
		}
	}
	return 0
}
