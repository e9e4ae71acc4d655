package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos"
)

// agent is a running agent with directories of its own.
type agent struct {
	cmd    *exec.Cmd
	dir    string
	client *http.Client
	errs   *strings.Builder
	rig    *rig
	ready  time.Duration // from exec to READY=1
}

// quietConsole keeps the bench's agents off the console's port.
const quietConsole = "  console: {enabled: false}\n"

// agent starts one with the lines of policy below "qos:", and waits until it
// is ready.
func (r *rig) agent(policy string) (*agent, error) {
	dir, err := os.MkdirTemp(r.dir, "agent-")
	if err != nil {
		return nil, err
	}
	config := "version: 1\nagent:\n" + quietConsole
	if policy != "" {
		config += "qos:\n" + policy
	}
	file := filepath.Join(dir, "anole.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer notify.Close()
	a := &agent{dir: dir, errs: &strings.Builder{}, rig: r}
	argv := append(append([]string{}, r.Agent...), "up", "--config", file, "--state-dir", filepath.Join(dir, "state"), "--run-dir", filepath.Join(dir, "run"))
	a.cmd = exec.Command(argv[0], argv[1:]...)
	a.cmd.Stderr = a.errs
	a.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	began := time.Now()
	if err := r.spawn(a.cmd); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	if err := a.await(notify, began); err != nil {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
		return nil, fmt.Errorf("start agent: %w: %s", err, strings.TrimSpace(a.errs.String()))
	}
	socket := filepath.Join(dir, "run", "anole.sock")
	a.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	return a, nil
}

// await waits for READY=1, sd_notify(3).
func (a *agent) await(notify *net.UnixConn, began time.Time) error {
	_ = notify.SetReadDeadline(began.Add(20 * time.Second))
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return fmt.Errorf("wait until it is ready: %w", err)
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			a.ready = time.Since(began)
			return nil
		}
	}
}

func (a *agent) pid() int { return a.cmd.Process.Pid }

// stop ends the agent as an operator would and waits until the node is back.
func (a *agent) stop() {
	if a == nil {
		return
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = a.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = a.cmd.Process.Kill()
		<-done
		// Its journal is what puts the node back; it is not thrown away before.
		if err := a.revert(); err != nil {
			a.rig.keep = true
			a.rig.Say(fmt.Sprintf("the agent did not stop and was killed; put the node back with: %v", err))
			return
		}
	}
	_ = os.RemoveAll(a.dir)
}

// revert undoes what a killed agent wrote. The error names the command.
func (a *agent) revert() error {
	argv := append(append([]string{}, a.rig.Agent...), "revert", "--state-dir", filepath.Join(a.dir, "state"), "--run-dir", filepath.Join(a.dir, "run"))
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s (it said: %w: %s)", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// status asks what the agent sees.
func (a *agent) status(ctx context.Context) (s qos.Status, err error) {
	err = a.get(ctx, "status", &s)
	return s, err
}

// get asks one of the room's routes.
func (a *agent) get(ctx context.Context, route string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://anole/api/v1/qos/"+route, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	return err
}

// cpu is the CPU time that the agent used.
func (a *agent) cpu() time.Duration {
	d, _ := procfs.CPUTime(a.pid())
	return d
}

// rss is the agent's resident memory in bytes.
func (a *agent) rss() int64 {
	n, _ := procfs.RSS(a.pid())
	return n
}
