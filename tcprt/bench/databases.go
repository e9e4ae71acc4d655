package bench

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const nobody = 65534

// postgresServer is PostgreSQL with the tables of pgbench. It does not run as root.
func postgresServer() (s *server, err error) {
	path, err := tool("postgres")
	if err != nil {
		return nil, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("find postgres: %w", err)
	}
	s, err = serve("postgres", func(dir string, port uint16) ([]string, error) {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			return nil, fmt.Errorf("make a directory for PostgreSQL: %w", err)
		}
		data := filepath.Join(dir, "data")
		cmd := exec.Command(filepath.Join(filepath.Dir(path), "initdb"), "-D", data, "-U", "me", "-A", "trust", "--no-sync")
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(dir)}
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make a database: %w: %s", err, out)
		}
		return []string{"-D", data, "-k", dir, "-p", strconv.Itoa(int(port)), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=32MB"}, nil
	})
	if err != nil {
		return nil, err
	}
	s.last = syscall.SIGQUIT // what is killed leaves its shared memory
	var out []byte
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // it listens before it is ready
		if out, err = exec.Command("pgbench", "-i", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(int(s.port)), "-U", "me", "postgres").CombinedOutput(); err == nil {
			return s, nil
		}
	}
	s.stop()
	return nil, fmt.Errorf("make the tables of pgbench: %w: %s", err, out)
}

// mariadbServer is MariaDB, which everybody on the loopback interface is root of.
func mariadbServer() (*server, error) {
	install, err := tool("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	return serve("mariadbd", func(dir string, port uint16) ([]string, error) {
		data := filepath.Join(dir, "data")
		if out, err := exec.Command(install, "--no-defaults", "--datadir="+data, "--user=root", "--auth-root-authentication-method=normal").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make a database: %w: %s", err, out)
		}
		return []string{"--no-defaults", "--user=root", "--datadir=" + data, "--socket=" + filepath.Join(dir, "s"), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(int(port)),
			"--innodb-buffer-pool-size=8M", "--skip-name-resolve", "--skip-ssl"}, nil
	})
}

// haproxyServer is haproxy before nginx. Its status page is nginx's.
func haproxyServer() (*server, error) {
	back, err := nginxServer()
	if err != nil {
		return nil, err
	}
	s, err := serve("haproxy", func(dir string, port uint16) ([]string, error) {
		conf := fmt.Sprintf(`global
  maxconn 512
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:%d
  default_backend back
backend back
  http-reuse always
  server nginx 127.0.0.1:%d
`, port, back.port)
		path := filepath.Join(dir, "haproxy.cfg")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return nil, fmt.Errorf("write haproxy's configuration: %w", err)
		}
		return []string{"-db", "-f", path}, nil
	})
	if err != nil {
		back.stop()
		return nil, err
	}
	s.also, s.back = back.stop, back.port
	return s, nil
}

// haproxyTruth asks nginx through haproxy, and does not count that.
func haproxyTruth(s *server) (int, error) {
	defer http.DefaultClient.CloseIdleConnections()
	return nginxTruth(s)
}
