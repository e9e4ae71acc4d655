package peertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/l7"
)

const nobody = 65534

func TestRedis(t *testing.T) {
	testkit.Select(t, "peer")
	server, bench, cli := testkit.NeedTool(t, "redis-server"), testkit.NeedTool(t, "redis-benchmark"), testkit.NeedTool(t, "redis-cli")
	socket := filepath.Join(testkit.SocketDir(t), "s")
	serve(t, "unix", socket, 0, server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", t.TempDir())
	p := between(t, socket, 0, l7.Verbs)
	port := fmt.Sprint(p.port)

	run(t, bench, "-p", port, "-c", "4", "-n", "400", "-t", "get", "-q")
	if got := tally(t, p.turns(), "redis"); got["GET OK"] != 400 {
		t.Error(got)
	}
	run(t, bench, "-p", port, "-c", "4", "-n", "400", "-P", "8", "-t", "set", "-q")
	n := 0
	for _, x := range p.turns() {
		if x.Method == "SET" {
			n += x.count
		}
	}
	if n > 400 || n < 200 { // a batch is not all within what is looked at
		t.Errorf("%d requests", n)
	}
	for _, version := range []string{"-2", "-3"} {
		for _, args := range []string{"set k v", "incr k", "lpush k v", "nonsense", "client getname", "hgetall none"} {
			_ = exec.Command(cli, append([]string{"-p", port, version}, strings.Fields(args)...)...).Run()
		}
		got := tally(t, p.turns(), "redis")
		for _, want := range []string{"SET OK", "INCR ERR", "LPUSH WRONGTYPE", "other ERR", "CLIENT GETNAME OK", "HGETALL OK"} {
			if got[want] != 1 {
				t.Errorf("%s: no %q in %v", version, want, got)
			}
		}
	}
}

func TestMariaDB(t *testing.T) {
	testkit.Select(t, "peer")
	testkit.NeedRoot(t)
	server, install, client := testkit.NeedTool(t, "mariadbd"), testkit.NeedTool(t, "mariadb-install-db"), testkit.NeedTool(t, "mysql")
	dir := owned(t)
	socket := filepath.Join(dir, "s")
	run(t, install, "--no-defaults", "--datadir="+dir+"/data", "--user=root", "--auth-root-authentication-method=normal")
	serve(t, "unix", socket, 0, server, "--no-defaults", "--user=root", "--datadir="+dir+"/data", "--socket="+socket, "--skip-networking", "--innodb-buffer-pool-size=8M")
	p := between(t, socket, 3306, l7.Statements)
	text := "create database d; use d; create table t (a int, b varchar(20)); insert into t values (1, 'it''s'), (2, \"x\"); select * from t where a = 1; drop table t; select nothing"
	_ = exec.Command(client, "--no-defaults", "--skip-ssl", "-f", "-uroot", "-h127.0.0.1", "-P"+fmt.Sprint(p.port), "-e", text).Run() // one of them fails
	all := p.turns()
	got := tally(t, all, "mysql")
	for _, want := range []string{"HandshakeResponse OK", "CREATE OK", "COM_INIT_DB OK", "INSERT OK", "SELECT OK", "SELECT 1054/42S22", "DROP OK"} {
		if got[want] == 0 {
			t.Errorf("no %q in %v", want, got)
		}
	}
	if names := routes(all); !slices.Contains(names, "insert into t values (?)") || !slices.Contains(names, "select * from t where a = ?") {
		t.Errorf("%q", names)
	}
}

func TestPostgreSQL(t *testing.T) {
	testkit.Select(t, "peer")
	testkit.NeedRoot(t)
	server, bench, client := testkit.NeedTool(t, "postgres"), testkit.NeedTool(t, "pgbench"), testkit.NeedTool(t, "psql")
	path, err := filepath.EvalSymlinks(server)
	if err != nil {
		t.Fatal(err)
	}
	dir := owned(t)
	data := filepath.Join(dir, "data")
	cmd := exec.Command(filepath.Join(filepath.Dir(path), "initdb"), "-D", data, "-U", "me", "-A", "trust", "--no-sync")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	socket := filepath.Join(dir, ".s.PGSQL.5432")
	serve(t, "unix", socket, nobody, path, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "shared_buffers=1MB", "-c", "fsync=off")
	eventually(t, client, "-h", dir, "-U", "me", "-c", "select 1", "postgres") // it listens before it is ready
	p := between(t, socket, 0, l7.Statements)
	where := []string{"-h", "127.0.0.1", "-p", fmt.Sprint(p.port), "-U", "me"}
	run(t, append(append([]string{bench, "-i", "-q"}, where...), "postgres")...)
	p.turns()
	for _, mode := range []string{"simple", "extended", "prepared"} {
		run(t, append(append([]string{bench, "-S", "-n", "-c", "2", "-t", "50", "-M", mode}, where...), "postgres")...)
		all := p.turns()
		got := tally(t, all, "postgresql")
		if n := got["SELECT OK"] + got["Bind OK"]; n < 100 || got["StartupMessage OK"] == 0 || mode == "prepared" && got["Bind OK"] < 100 {
			t.Errorf("%s: %v", mode, got)
		}
		if names := routes(all); !slices.Contains(names, "SELECT abalance FROM pgbench_accounts WHERE aid = ?") {
			t.Errorf("%s: %q", mode, names)
		}
	}
	text := "create table t (a int, b text); insert into t values (1, E'it\\'s'), (2, $$x$$); select * from t where a = 1; select nothing"
	args := append(append([]string{client}, where...), "postgres")
	for s := range strings.SplitSeq(text, "; ") {
		args = append(args, "-c", s)
	}
	_ = exec.Command(args[0], args[1:]...).Run() // it fails with the last
	all := p.turns()
	got := tally(t, all, "postgresql")
	for _, want := range []string{"CREATE OK", "INSERT OK", "SELECT OK", "SELECT 42703", "SSLRequest refused"} {
		if got[want] != 1 {
			t.Errorf("%d of %q in %v", got[want], want, got)
		}
	}
	for _, x := range all {
		if (x.Method == "SSLRequest" || x.Method == "GSSENCRequest") != (x.flags&tcprt.Handshake != 0) {
			t.Errorf("%+v %v", x.Hint, x.flags)
		}
	}
	if names := routes(all); !slices.Contains(names, "insert into t values (?)") {
		t.Errorf("%q", names)
	}
}

// owned is a directory of nobody's, with a short name.
func owned(t *testing.T) string {
	t.Helper()
	dir := testkit.SocketDir(t)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
