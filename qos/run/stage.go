package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageArgs is what the runner tells the stage: the cgroups to join, the
// descriptor of the status pipe, and the command.
type stageArgs struct {
	join   []string
	status int
	path   string
	argv   []string
}

func (a *stageArgs) encode() []string {
	var out []string
	for _, d := range a.join {
		out = append(out, "--join", d)
	}
	out = append(out, "--status", strconv.Itoa(a.status), "--", a.path)
	return append(out, a.argv...)
}

func parseStageArgs(args []string) (*stageArgs, error) {
	a := &stageArgs{status: -1}
	for len(args) > 1 && args[0] != "--" {
		key, value := args[0], args[1]
		args = args[2:]
		switch key {
		case "--join":
			if !filepath.IsAbs(value) {
				return nil, fmt.Errorf("stage: --join %q: want an absolute path", value)
			}
			a.join = append(a.join, value)
		case "--status":
			n, err := strconv.ParseUint(value, 10, 20)
			if err != nil || n < 3 {
				return nil, fmt.Errorf("stage: --status %q: want a descriptor above 2", value)
			}
			a.status = int(n)
		default:
			return nil, fmt.Errorf("stage: unknown argument %q", key)
		}
	}
	if len(args) < 3 || args[0] != "--" || a.status < 0 {
		return nil, errors.New("stage: want --join DIR… --status FD -- PATH ARGV0 ARG…; it is started by anole qos run alone")
	}
	a.path, a.argv = args[1], args[2:]
	return a, nil
}

// report is the stage's message to the runner when it could not become the
// command; no message means that it did.
type report struct {
	Exec  bool   `json:"exec"` // it was execve(2) that refused
	Errno int    `json:"errno,omitempty"`
	Text  string `json:"text"`
}

// Stage joins cgroups and becomes the command. args is what Run appended to
// Options.Stage. The process keeps its id, streams and session, so that the
// command is the runner's own child. It returns when the command could not be
// started: nil if the runner was told why, and the process should end silently;
// an error otherwise.
//
// Call it before anything catches signals: a caught signal is back at its
// default in the command, an ignored one stays ignored.
func Stage(args []string) error {
	a, err := parseStageArgs(args)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(a.status)
	rep := a.become()
	b, err := json.Marshal(rep)
	if err == nil {
		_, err = unix.Write(a.status, b)
	}
	if err != nil {
		return fmt.Errorf("%s (and report it: %w)", rep.Text, err)
	}
	return nil
}

func (a *stageArgs) become() report {
	for _, d := range a.join {
		if err := store(filepath.Join(d, "cgroup.procs"), "0"); err != nil { // 0 is the writer, cgroups(7)
			return reportOf(false, fmt.Errorf("join cgroup %s: %w", d, err))
		}
	}
	// Exec gives back the descriptor limit that the Go runtime raised.
	return reportOf(true, syscall.Exec(a.path, a.argv, os.Environ()))
}

func reportOf(exec bool, err error) report {
	var errno syscall.Errno
	errors.As(err, &errno)
	return report{Exec: exec, Errno: int(errno), Text: err.Error()}
}

// readReport waits until the stage is the command (nil) or could not be. The
// pipe closes on exec.
func readReport(r io.Reader, path string) error {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return fmt.Errorf("wait for command to start: %w", err)
	}
	if len(b) == 0 {
		return nil
	}
	var rep report
	if err := json.Unmarshal(b, &rep); err != nil {
		return fmt.Errorf("start command: the stage said %q", b[:min(len(b), 200)])
	}
	if rep.Exec {
		return &ExecError{Path: path, Err: syscall.Errno(rep.Errno)}
	}
	return fmt.Errorf("start command: %s", strings.TrimSpace(rep.Text))
}
