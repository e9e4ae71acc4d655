package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/qos/load"
)

// The IO bench: fio reads 4 KiB at random, so many a second, beside a fio that
// writes with a deep queue, both past the page cache and on one loop device.
const (
	ioRate     = 500
	ioDiskSize = 1 << 30
	// ioRamp is left out of each phase: both programs start, and the agent finds
	// the limit.
	ioRamp = 5 * time.Second
)

// Phases of the IO bench.
const (
	ioSolo = iota
	ioUnprotected
	ioProtected
	ioPhases
)

var ioNames = [ioPhases]string{"solo", "unprotected", "protected"}

// ioOutcome is what a phase measured.
type ioOutcome struct {
	p99, mean float64 // of the reader's requests, ms
	reads     float64 // a second
	written   float64 // by best-effort work, MB/s
	usage     load.Usage
}

func (b *bencher) io(ctx context.Context) ([]benchfmt.Result, error) {
	disk, drop, err := b.loopDisk()
	if err != nil {
		return nil, err
	}
	defer drop()
	rounds := make([][ioPhases]ioOutcome, b.o.Rounds)
	for i, order := range load.Interleave(b.o.Rounds, ioPhases, 1) {
		for _, k := range order {
			what := fmt.Sprintf("round %d, %s", i+1, ioNames[k])
			err := b.quiet(ctx, what, func() (check, err error) {
				rounds[i][k], check, err = b.ioPhase(ctx, k, disk)
				return check, err
			})
			if err != nil {
				return nil, err
			}
		}
		x := &rounds[i]
		b.Say(fmt.Sprintf("  round %d: p99 solo %.3f, unprotected %.3f, protected %.3f ms; best effort writes %.0f MB/s unprotected, %.1f protected",
			i+1, x[ioSolo].p99, x[ioUnprotected].p99, x[ioProtected].p99, x[ioUnprotected].written, x[ioProtected].written))
	}
	return ioResults(rounds)
}

func ioResults(rounds [][ioPhases]ioOutcome) ([]benchfmt.Result, error) {
	col := func(k int, f func(*ioOutcome) float64) (out []float64) {
		for i := range rounds {
			out = append(out, f(&rounds[i][k]))
		}
		return out
	}
	p99 := func(o *ioOutcome) float64 { return o.p99 }
	solo := col(ioSolo, p99)
	held, err := paired("io-ls-p99", "p99 of an LS reader (fio, 4 KiB at random, 500 a second) beside a best-effort writer with a deep queue", "ms", "solo", "<=1.3", col(ioProtected, p99), solo)
	free, err2 := paired("io-ls-p99-unprotected", "the same without the agent: shows that the load presses", "ms", "solo", ">=2", col(ioUnprotected, p99), solo)
	work := single("io-be-written", "what the best-effort writer gets done meanwhile", "MB/s", "", col(ioProtected, func(o *ioOutcome) float64 { return o.written }))
	return []benchfmt.Result{held, free, work}, errors.Join(err, err2)
}

// loopDisk makes the device.
func (b *bencher) loopDisk() (path string, drop func(), err error) {
	for _, tool := range []string{"fio", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", nil, &feature.UnsupportedError{Feature: "qos bench io", Reason: feature.NoPeer, Need: tool, Fix: "install it: apt-get install fio mount", Err: err}
		}
	}
	file := filepath.Join(b.dir, "disk")
	f, err := os.Create(file)
	if err != nil {
		return "", nil, err
	}
	_, err = io.CopyN(f, zeros{}, ioDiskSize)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", nil, fmt.Errorf("make a disk: %w", err)
	}
	out, err := exec.Command("losetup", "--direct-io=on", "-f", "--show", file).CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("attach loop device: %w: %s", err, bytes.TrimSpace(out))
	}
	path = strings.TrimSpace(string(out))
	drop = func() { _ = exec.Command("losetup", "-d", path).Run(); _ = os.Remove(file) }
	// Whatever an earlier user of the device left, the bench is of limits.
	if err := os.WriteFile("/sys/block/"+filepath.Base(path)+"/queue/scheduler", []byte("none"), 0); err != nil {
		drop()
		return "", nil, fmt.Errorf("set scheduler of %s: %w", path, err)
	}
	return path, drop, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// ioPhase runs one. check says why it is worthless, if it is.
func (b *bencher) ioPhase(ctx context.Context, kind int, disk string) (o ioOutcome, check, err error) {
	d := b.phaseTime(10 * time.Second)
	pid := os.Getpid()
	lsPath, bePath := fmt.Sprintf("/anole-bench-a-%d", pid), fmt.Sprintf("/anole-bench-b-%d", pid)
	own := load.MeterOptions{PIDs: []int{pid}, Kernel: true} // its threads do a loop device's work
	if kind == ioProtected {
		a, err := b.agent(fmt.Sprintf("  io: {devices: [{match: %s}]}\n", filepath.Base(disk)))
		if err != nil {
			return o, nil, err
		}
		defer a.stop()
		own.PIDs = append(own.PIDs, a.pid())
		lsPath, bePath = fmt.Sprintf("/anole-ls/bench-%d", pid), fmt.Sprintf("/anole-be/bench-%d", pid)
	}
	ls, err := b.group(lsPath)
	if err != nil {
		return o, nil, err
	}
	defer b.drop(ls)
	own.Cgroups = append(own.Cgroups, ls.meterDir())
	var writer *fio
	if kind != ioSolo {
		be, err := b.group(bePath)
		if err != nil {
			return o, nil, err
		}
		defer b.drop(be)
		own.Cgroups = append(own.Cgroups, be.meterDir())
		if writer, err = b.fio(be, ioRamp, d+time.Second, "--filename="+disk, "--rw=write", "--bs=256k", "--ioengine=libaio", "--iodepth=32"); err != nil {
			return o, nil, err
		}
		defer writer.kill()
	}
	reader, err := b.fio(ls, ioRamp, d, "--filename="+disk, "--rw=randread", "--bs=4k", "--ioengine=psync", "--rate_iops="+strconv.Itoa(ioRate))
	if err != nil {
		return o, nil, err
	}
	defer reader.kill()
	if err := pause(ctx, ioRamp); err != nil {
		return o, nil, err
	}
	m, err := load.OpenMeter(own)
	if err != nil {
		return o, nil, err
	}
	if err := pause(ctx, d-200*time.Millisecond); err != nil {
		return o, nil, err
	}
	if o.usage, err = m.Sample(); err != nil {
		return o, nil, err
	}
	if err := o.take(reader, writer); err != nil {
		return o, nil, err
	}
	return o, firstOf(b.Limits.Check(o.usage), o.faulty(kind)), nil
}

// faulty says what makes a round worthless: a reader that cannot make its
// requests on the quiet disk is too much for it. Beside a writer it may fall
// behind.
func (o *ioOutcome) faulty(kind int) error {
	if kind == ioSolo && o.reads < 0.9*ioRate {
		return fmt.Errorf("the reader made %.0f of %d requests a second", o.reads, ioRate)
	}
	return nil
}

func (o *ioOutcome) take(reader, writer *fio) error {
	r, err := reader.wait()
	if err != nil {
		return err
	}
	o.p99, o.mean, o.reads = r.Read.Latency.Percentile["99.000000"]/1e6, r.Read.Latency.Mean/1e6, r.Read.IOPS
	if writer == nil {
		return nil
	}
	w, err := writer.wait()
	o.written = w.Write.Bytes / 1e6
	return err
}

// fio is a running fio.
type fio struct {
	cmd *exec.Cmd
	out bytes.Buffer
	err bytes.Buffer
}

// fioJob is what is read of its answer, of "jobs" in fio's JSON.
type fioJob struct{ Read, Write fioSide }

type fioSide struct {
	IOPS    float64 `json:"iops"`
	Bytes   float64 `json:"bw_bytes"` // a second
	Latency struct {
		Mean       float64            `json:"mean"`
		Percentile map[string]float64 `json:"percentile"`
	} `json:"clat_ns"`
}

// fio starts one in a group.
func (b *bencher) fio(g *group, ramp, d time.Duration, args ...string) (*fio, error) {
	args = append([]string{
		"-c", `read go && exec fio "$@"`, "sh", "--name=job", "--output-format=json", "--direct=1", "--time_based",
		fmt.Sprintf("--ramp_time=%dms", ramp.Milliseconds()), fmt.Sprintf("--runtime=%dms", d.Milliseconds()),
	}, args...)
	f := &fio{cmd: exec.Command("sh", args...)}
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.err
	f.cmd.Dir = b.dir
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := f.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := b.spawn(f.cmd); err != nil {
		return nil, fmt.Errorf("start fio: %w", err)
	}
	if err = g.enter(f.cmd.Process.Pid); err == nil {
		_, err = in.Write([]byte("go\n"))
	}
	if err != nil {
		f.kill()
		return nil, err
	}
	return f, nil
}

func (f *fio) kill() {
	if f != nil && f.cmd.ProcessState == nil {
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait()
	}
}

// wait gives the answer.
func (f *fio) wait() (fioJob, error) {
	if err := f.cmd.Wait(); err != nil {
		return fioJob{}, fmt.Errorf("fio: %w: %s", err, bytes.TrimSpace(f.err.Bytes()))
	}
	var answer struct{ Jobs []fioJob }
	if err := json.Unmarshal(f.out.Bytes(), &answer); err != nil {
		return fioJob{}, fmt.Errorf("read fio's answer: %w", err)
	}
	if len(answer.Jobs) != 1 {
		return fioJob{}, fmt.Errorf("read fio's answer: %d jobs", len(answer.Jobs))
	}
	return answer.Jobs[0], nil
}
