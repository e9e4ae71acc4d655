package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/test/vm"
)

// asking are the packages whose tests ask the kernel something.
var asking = []string{
	"./internal/cgroup", "./internal/journal", "./internal/netlinkx", "./internal/testkit", "./workload", "./gm/kern/ima/enforce",
	"./qos", "./qos/actuate", "./qos/coresched", "./qos/cpi", "./qos/iolat", "./qos/memory", "./qos/resctrl", "./qos/run", "./qos/runq", "./qos/shape", "./tcprt", "./test/fault",
}

// containing are the tests with real containers that depend on the version of
// cgroup; the machine itself runs those, and the others, with v1.
var containing = []string{"-run=^(TestPodsGetTheirClassByCRI|TestAgentWithNRI|TestPlainContainers)$", "./test/containers"}

// brief is what makes sense of every run of all tests: cgroup v2, which the
// machine itself may not have, in some minutes.
func brief() []*machine {
	var quick []string
	for _, p := range asking {
		if !slices.Contains([]string{"./qos", "./qos/shape", "./qos/run", "./qos/runq", "./tcprt", "./test/fault"}, p) {
			quick = append(quick, p)
		}
	}
	return []*machine{{Kernel: "6.12", Cgroup: "v2", runs: [][]string{
		quick, {"-run=^TestKernel(Memory|IO|Suppress|Pressure)", "./qos"},
		{"-skip=^TestKernel(StartedAndStopped|MeasurerKilled)$", "./tcprt"}, // programs are loaded a hundred times, which QEMU takes minutes for
	}}}
}

// all are the machines. Each has the containerd of its kernel's release of Debian.
func all() []*machine {
	return []*machine{
		{Kernel: "6.1", Cgroup: "v2", containerd: "1.6", runs: [][]string{asking, containing}},
		{Kernel: "6.1", Cgroup: "v1", runs: [][]string{asking}},
		{Kernel: "6.12", Cgroup: "v2", containerd: "1.7", runs: [][]string{asking, containing}},
		{Kernel: "6.12", Cgroup: "v1", runs: [][]string{asking}}, // cpu, blkio and pids: Debian has built cpuset and memory for v2 alone
	}
}

// options are those of the machine.
func (m *machine) options(s *settings, console string) vm.Options {
	o := vm.Options{
		Kernel: filepath.Join(s.dir, m.Kernel), Busybox: filepath.Join(s.dir, "busybox"), Init: filepath.Join(s.bin, "guest"),
		Cgroup: m.Cgroup, Console: console,
	}
	if m.containerd == "" {
		return o
	}
	// Where test/containers looks for them.
	from, low := filepath.Join(s.runtimes, m.containerd, "usr/bin"), filepath.Join(s.runtimes, m.containerd+"-low")
	to := "opt/containers/" + m.containerd + "/usr/bin/"
	o.System, o.Memory = low, 2048
	o.Programs = map[string]string{
		"bin/runc": filepath.Join(low, "usr/sbin/runc"), "bin/crun": filepath.Join(low, "usr/bin/crun"),
		"opt/containers/busybox/bin/busybox": filepath.Join(s.runtimes, "busybox/bin/busybox"),
		"opt/containers/anole":               filepath.Join(s.bin, "anole"),
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		o.Programs[to+name] = filepath.Join(from, name)
	}
	return o
}

// test boots the machine and runs the packages there.
func (m *machine) test(ctx context.Context, s *settings) error {
	began := time.Now()
	console := filepath.Join(s.bin, fmt.Sprintf("console-%s-%s.log", m.Kernel, m.Cgroup))
	v, err := vm.Boot(ctx, m.options(s, console))
	if err != nil {
		return err
	}
	s.show.line("%-7s Linux %s, cgroup %s, booted in %.1f s", m.name(), v.Release, m.Cgroup, time.Since(began).Seconds())
	v.Quiet = m.limit
	tmp, err := os.MkdirTemp("", "anole-vm-")
	if err != nil {
		return errors.Join(err, v.Close())
	}
	err = m.serve(ctx, s, v, tmp)
	return errors.Join(err, v.Close(), os.RemoveAll(tmp))
}

func (m *machine) serve(ctx context.Context, s *settings, v *vm.VM, tmp string) error {
	socket, skips := filepath.Join(tmp, "exec"), filepath.Join(tmp, "skips")
	l, err := net.Listen("unix", socket)
	if err == nil {
		err = os.WriteFile(skips, nil, 0o600)
	}
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- v.Serve(ctx, l) }()
	for _, run := range m.runs {
		err = errors.Join(err, m.goTest(ctx, s, run, socket, skips))
	}
	_ = l.Close()
	return errors.Join(err, <-served, m.expected(ctx, s, skips))
}

func (m *machine) goTest(ctx context.Context, s *settings, run []string, socket, skips string) error {
	client, err := filepath.Abs(filepath.Join(s.bin, "exec"))
	if err != nil {
		return err
	}
	args := []string{"test", "-json", "-count=1", "-p=1", "-timeout=15m", "-exec=" + client}
	for _, a := range s.args {
		args = append(args, strings.ReplaceAll(a, "MACHINE", m.Kernel+"-"+m.Cgroup))
	}
	if slices.ContainsFunc(s.args, func(a string) bool { return strings.HasPrefix(strings.TrimLeft(a, "-"), "run") }) {
		run = slices.DeleteFunc(slices.Clone(run), func(a string) bool { return strings.HasPrefix(a, "-run=") })
	}
	cmd := exec.CommandContext(ctx, "go", append(args, run...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", vm.SocketEnv+"="+socket, "ANOLE_SKIPS="+skips)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	m.follow(out, s.show, slices.ContainsFunc(s.args, func(a string) bool { return a == "-v" || a == "-test.v" || a == "-v=true" }))
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// follow reads the events of `go test -json`, `go doc test2json`, and what else
// it prints.
func (m *machine) follow(out io.Reader, show *screen, verbose bool) {
	r := &report{machine: m, show: show, verbose: verbose, output: map[string]*strings.Builder{}}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Action == "" {
			show.line("%-7s %s", m.name(), lines.Text())
			continue
		}
		r.take(&e)
	}
	if err := lines.Err(); err != nil {
		show.line("%-7s read the tests' events: %v", m.name(), err)
		_, _ = io.Copy(io.Discard, out)
	}
}

// expected holds the skips to the lists of the machine's kind and its own.
func (m *machine) expected(ctx context.Context, s *settings, skips string) error {
	out, err := exec.CommandContext(ctx, "go", "run", "./test/expected-skips", "-on", "vm-"+m.Cgroup+",vm-"+m.Kernel+"-"+m.Cgroup, skips).CombinedOutput()
	if err == nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		s.show.line("%-7s %s", m.name(), strings.TrimRight(line, "\n"))
	}
	return fmt.Errorf("skips that are not expected: %w", err)
}
