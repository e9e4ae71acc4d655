package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anole-os/anole/feature"
)

// server is a program that listens on a port of the loopback interface.
type server struct {
	cmd  *exec.Cmd
	port uint16
	dir  string
}

// freePort is one that nobody has.
func freePort() (uint16, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port), nil
}

func tool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, &feature.UnsupportedError{
			Feature: "benches of TCP request timing", Reason: feature.NoPeer, Need: name, Fix: "install it: scripts/setup.sh test", Err: err,
		})
	}
	return path, nil
}

// serve starts a program and waits until it listens.
func serve(name string, args func(dir string, port uint16) ([]string, error)) (*server, error) {
	path, err := tool(name)
	if err != nil {
		return nil, err
	}
	s := &server{}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "anole-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	a, err := args(s.dir, s.port)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(path, a...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return s, c.Close()
		}
		if time.Now().After(end) {
			s.stop()
			return nil, fmt.Errorf("start %s: it does not listen: %w", name, err)
		}
	}
}

func (s *server) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

func redisServer() (*server, error) {
	return serve("redis-server", func(dir string, port uint16) ([]string, error) {
		return []string{"--port", strconv.Itoa(int(port)), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}, nil
	})
}

func nginxServer() (*server, error) {
	return serve("nginx", func(dir string, port uint16) ([]string, error) {
		conf := fmt.Sprintf(`worker_processes 1;
daemon off;
pid %[1]s/pid;
error_log %[1]s/error;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_requests 100000000;
  server { listen 127.0.0.1:%[2]d; location / { return 200 "%[3]s"; } location = /status { stub_status; } }
}
`, dir, port, strings.Repeat("x", 240))
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return nil, fmt.Errorf("write nginx's configuration: %w", err)
		}
		return []string{"-c", path, "-p", dir}, nil
	})
}

// cpu is what the threads of the server's process group have run, exactly
// (/proc/PID/task/TID/schedstat).
func (s *server) cpu() (time.Duration, error) {
	var sum time.Duration
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, stat := range all {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if group, err := syscall.Getpgid(pid); err != nil || group != s.cmd.Process.Pid {
			continue
		}
		tasks, err := filepath.Glob(filepath.Join(filepath.Dir(stat), "task/*/schedstat"))
		if err != nil {
			return 0, err
		}
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue
			}
			ns, _, _ := strings.Cut(string(b), " ")
			n, err := strconv.ParseInt(ns, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", t, err)
			}
			sum += time.Duration(n)
		}
	}
	return sum, nil
}

// ask runs a client to its end and gives the CPU that it took.
func ask(ctx context.Context, name string, args ...string) (out string, cpu time.Duration, err error) {
	path, err := tool(name)
	if err != nil {
		return "", 0, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	b, err := cmd.CombinedOutput()
	if err != nil {
		return "", 0, fmt.Errorf("run %s: %w: %s", name, err, b)
	}
	return string(b), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
