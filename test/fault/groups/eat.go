package groups

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/qos/load"
)

// eatEnv makes any test binary that has this package one of the programs below
// instead: "touch FILE OFFSET BYTES PAUSE", "stream FILE OFFSET BYTES RATE" or
// "hold BYTES", each followed by the path of the cgroup to wait for.
const eatEnv = "ANOLE_TEST_EAT"

func init() {
	if args := strings.Fields(os.Getenv(eatEnv)); len(args) > 0 {
		if err := eat(args); err != nil {
			fmt.Fprintln(os.Stderr, "eat:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func eat(args []string) error {
	if err := arrive(args[len(args)-1]); err != nil {
		return err
	}
	n := func(i int) int64 { v, _ := strconv.ParseInt(args[i], 10, 64); return v }
	switch args[0] {
	case "touch":
		return load.Touch(context.Background(), load.FileOptions{File: args[1], Offset: n(2), Size: n(3), Pause: time.Duration(n(4))})
	case "stream":
		return load.Stream(context.Background(), load.FileOptions{File: args[1], Offset: n(2), Size: n(3), Rate: n(4)})
	case "hold":
		return hold(int(n(1)))
	}
	return fmt.Errorf("unknown program %q", args[0])
}

// arrive waits until the process is in the cgroup, so that all it uses is
// charged there.
func arrive(rel string) error {
	for range 10_000 {
		b, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(f) == 3 && f[2] == rel && (f[1] == "memory" || f[0] == "0") {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("never came to %s", rel)
}

// hold uses memory that no reclaim can take without swap.
func hold(size int) error {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	time.Sleep(time.Hour)
	runtime.KeepAlive(m)
	return nil
}

// Touch starts a service in the group that reads a part of a file through a
// mapping, all of it after each pause.
func (g *Group) Touch(file string, offset, size int64, pause time.Duration) *exec.Cmd {
	return g.eat("touch", file, offset, size, int64(pause))
}

// Stream starts a process in the group that reads a part of a file over and
// over, at most rate bytes a second unless that is 0.
func (g *Group) Stream(file string, offset, size, rate int64) *exec.Cmd {
	return g.eat("stream", file, offset, size, rate)
}

// Hold starts a process in the group that keeps size bytes of anonymous memory.
func (g *Group) Hold(size int64) *exec.Cmd { return g.eat("hold", size) }

func (g *Group) eat(args ...any) *exec.Cmd {
	g.node.tb.Helper()
	line := strings.TrimSpace(fmt.Sprintln(append(args, g.Rel)...))
	return g.start(func(c *exec.Cmd) { c.Env = append(os.Environ(), eatEnv+"="+line) }, "/proc/self/exe")
}
