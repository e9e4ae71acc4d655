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
	last syscall.Signal // that ends it, SIGKILL when 0
	also func()         // what else is to be stopped
	back uint16         // the port of a server that this one asks in turn
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
	if all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err != nil && len(all) > 0 { // where Debian has servers that are not for everybody
		return all[len(all)-1], nil
	}
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, &feature.UnsupportedError{
			Feature: "benches of TCP request timing", Reason: feature.NoPeer, Need: name, Fix: "install it: scripts/setup.sh bench", Err: err,
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
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	s.cmd = exec.Command(path, a...)
	s.cmd.Dir = s.dir
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: credential(s.dir)}
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return s, c.Close()
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(log.Name())
			s.stop()
			return nil, fmt.Errorf("start %s: it does not listen: %w: %s", name, err, said)
		}
	}
}

// credential is the owner of a directory, who a program in it runs as.
func credential(dir string) *syscall.Credential {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil || st.Uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

func (s *server) stop() {
	if s.also != nil {
		s.also()
	}
	if s.last != 0 { // one that cleans up
		_ = syscall.Kill(s.cmd.Process.Pid, s.last)
	} else {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	}
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
