package peertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
)

// counter counts a server's records.
type counter struct {
	t         *testing.T
	c         *tcprt.Collector
	all       int
	overlap   int
	backwards int // whose times are in no order
}

func count(t *testing.T, port uint16) *counter {
	t.Helper()
	testkit.NeedRoot(t)
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{port}, Roles: []tcprt.Role{tcprt.Server}})
	testkit.Need(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &counter{t: t, c: c}
}

func (k *counter) take(r *tcprt.Record) {
	k.all++
	if r.Flags&tcprt.Overlap != 0 {
		k.overlap++
	}
	if r.T0 == 0 || r.T1 < r.T0 || r.T2 != 0 && r.T2 < r.T1 || r.T3 != 0 && r.T3 < r.T2 {
		k.backwards++
	}
}

// while drains while a command runs, and a little after it.
func (k *counter) while(cmd *exec.Cmd) string {
	k.t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if err := k.c.Drain(20*time.Millisecond, k.take); err != nil {
			k.t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				k.t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, out.String())
			}
			return out.String()
		default:
		}
	}
}

// want waits until there are as many records as the server says it had requests.
func (k *counter) want(truth int) {
	k.t.Helper()
	for end := time.Now().Add(10 * time.Second); k.all < truth && time.Now().Before(end); {
		if err := k.c.Drain(20*time.Millisecond, k.take); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := k.c.Drain(200*time.Millisecond, k.take); err != nil {
		k.t.Fatal(err)
	}
	s, err := k.c.Stats()
	if err != nil || s.Dropped != 0 || k.all != truth || k.overlap != 0 || k.backwards != 0 {
		k.t.Errorf("%d records of %d requests, %d overlap, %d with times in no order; %+v, %v", k.all, truth, k.overlap, k.backwards, s, err)
	}
	k.t.Logf("%d records of %d requests", k.all, truth)
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// serve runs a server until the test ends, and waits until it answers.
func serve(t *testing.T, port uint16, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", argv[0], out.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address(port))
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v", argv[0], err)
		}
	}
}

func address(port uint16) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))) }

func number(t *testing.T, in, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(in)
	if m == nil {
		t.Fatalf("no %s in %q", pattern, in)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Redis counts its commands itself.
func TestRedis(t *testing.T) {
	server, bench, cli := testkit.NeedTool(t, "redis-server"), testkit.NeedTool(t, "redis-benchmark"), testkit.NeedTool(t, "redis-cli")
	port := freePort(t)
	serve(t, port, server, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	k := count(t, port)
	k.while(exec.Command(bench, "-p", fmt.Sprint(port), "-c", "20", "-n", "40000", "-t", "get,set", "-q"))
	out := k.while(exec.Command(cli, "-p", fmt.Sprint(port), "info", "everything"))
	// This INFO is counted after it answered. The benchmark asks for two settings
	// at once before it begins: two commands, one turn.
	k.want(number(t, out, `total_commands_processed:(\d+)`) + 1 - number(t, out, `cmdstat_config\|get:calls=(\d+)`)/2)
}

// nginx counts its requests itself, those included that nobody waited for.
func TestNginx(t *testing.T) {
	server, wrk := testkit.NeedTool(t, "nginx"), testkit.NeedTool(t, "wrk")
	port, dir := freePort(t), t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 2; user root;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 1000;
  server { listen 127.0.0.1:%[2]d; location / { return 200 "hello"; } location = /status { stub_status; } }
}
`, dir, port)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, port, server, "-c", file, "-e", filepath.Join(dir, "error.log"))
	k := count(t, port)
	k.while(exec.Command(wrk, "-t", "2", "-c", "16", "-d", "2s", "http://"+address(port)+"/"))
	out := k.while(exec.Command("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; printf 'GET /status HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3", port)))
	k.want(number(t, out, `server accepts handled requests\s+\d+ \d+ (\d+)`))
}
