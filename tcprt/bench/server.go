package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
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
	as   *syscall.Credential // nil is this process's user
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
		return "", missing(name, err)
	}
	return path, nil
}

func missing(name string, err error) error {
	return fmt.Errorf("find %s: %w", name, &feature.UnsupportedError{
		Feature: "benches of TCP request timing", Reason: feature.NoPeer, Need: name, Fix: "install it: scripts/setup.sh bench", Err: err,
	})
}

// serve starts a program and waits until it listens.
func serve(name string, args func(dir string, port uint16) ([]string, error)) (*server, error) {
	return serveAs(nil, name, args)
}

// serveAs does so as another user, whose the directory is then.
func serveAs(as *syscall.Credential, name string, args func(dir string, port uint16) ([]string, error)) (s *server, err error) {
	path, err := tool(name)
	if err != nil {
		return nil, err
	}
	s = &server{as: as}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "anole-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	dir := s.dir
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if as != nil {
		if err := os.Chown(s.dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, fmt.Errorf("make a directory: %w", err)
		}
	}
	a, err := args(s.dir, s.port)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.log())
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	defer log.Close()
	s.cmd = exec.Command(path, a...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return s, c.Close()
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(s.log())
			s.stop()
			return nil, fmt.Errorf("start %s: it does not listen: %w: %s", name, err, said)
		}
	}
}

// log is the file that has what the server says.
func (s *server) log() string { return filepath.Join(s.dir, "log") }

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

// userOf is a system user, that a server is to run as.
func userOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, missing("the user "+name, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// prepare runs a program as the server's user, before it starts.
func prepare(as *syscall.Credential, name string, args ...string) error {
	path, err := tool(name)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/" // one that the user may be in
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, out)
	}
	return nil
}

// ask runs a client to its end and gives the CPU that it took.
func ask(ctx context.Context, name string, args ...string) (out string, cpu time.Duration, err error) {
	return askWith(ctx, nil, name, args...)
}

// askWith does so with more in its environment.
func askWith(ctx context.Context, env []string, name string, args ...string) (out string, cpu time.Duration, err error) {
	path, err := tool(name)
	if err != nil {
		return "", 0, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	b, err := cmd.CombinedOutput()
	if err != nil {
		return "", 0, fmt.Errorf("run %s: %w: %s", name, err, b)
	}
	return string(b), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
