package bench

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// said is what a program once said.
func said(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		file string
		read func(string) (int, error)
		want int
	}{
		{"h2load.txt", func(s string) (int, error) { return figure(h2loadDone, s) }, 2000},
		{"pgbench.txt", pgbenchDone, 5},
		{"mysqlslap.txt", slapped, 2000},
		{"mariadb.txt", func(s string) (int, error) { return statusSum(s, "Questions", "Connections") }, 931},
		{"haproxy.csv", func(s string) (int, error) { return haproxyTotal(s, "front", "FRONTEND") }, 2000},
		{"haproxy.csv", func(s string) (int, error) { return haproxyTotal(s, "back", "nginx") }, 2000},
		{"tcpdump.txt", func(s string) (int, error) { return figure(dumpDropped, s) }, 0},
	} {
		text := said(t, c.file)
		if n, err := c.read(text); err != nil || n != c.want {
			t.Errorf("%s: %d, %v, want %d", c.file, n, err, c.want)
		}
		for _, bad := range []string{"", "\"", "x,y\nfront,FRONTEND", text[:20]} {
			if n, err := c.read(bad); err == nil {
				t.Errorf("%s: %d of %q", c.file, n, bad)
			}
		}
	}
}

// A client that failed is not one that asked.
func TestSlapOfClientsThatFailed(t *testing.T) {
	text := "mysqlslap: Error when connecting to server: 1049 Unknown database 'mysqlslap'\n" + said(t, "mysqlslap.txt")
	if n, err := slapped(text); err == nil {
		t.Errorf("%d", n)
	}
}

func TestSessions(t *testing.T) {
	log := said(t, "postgres.log")
	if of, all, gone := sessions(log, "pgbench"); of != 2 || all != 3 || gone != 3 {
		t.Errorf("%d of %d, %d have ended", of, all, gone)
	}
	half, _, _ := strings.Cut(log, "disconnection")
	if of, all, gone := sessions(half, "pgbench"); of != 0 || all != 1 || gone != 0 {
		t.Errorf("of a log that goes on: %d of %d, %d have ended", of, all, gone)
	}
}

func TestStatementTimes(t *testing.T) {
	got, err := statementTimes(said(t, "postgres.log"))
	want := []timed{{49742, 3410 * time.Microsecond}, {49742, 2108 * time.Microsecond}, {49742, 2081 * time.Microsecond}, {49742, 2082 * time.Microsecond}, {49742, 2078 * time.Microsecond}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSharkTimes(t *testing.T) {
	got, err := sharkTimes(said(t, "tshark.txt"))
	if err != nil || len(got) != 11 || got[0] != (timed{35936, 108 * time.Microsecond}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := sharkTimes("1\tx\n"); err == nil {
		t.Errorf("%v", got)
	}
}

// turns makes records of a connection's requests, the latest first.
func turns(port uint16, took ...time.Duration) (out []tcprt.Record) {
	for i, d := range took {
		t0 := time.Duration(1+i) * time.Second
		out = append([]tcprt.Record{{Role: tcprt.Server, Remote: netip.AddrPortFrom(netip.IPv4Unspecified(), port), T0: t0, T1: t0, T2: t0 + d}}, out...)
	}
	return out
}

func TestDifferences(t *testing.T) {
	mine := append(turns(1, 10*ms, 20*ms), turns(2, 30*ms)...)
	got, err := differences(mine, []timed{{1, 11 * ms}, {2, 30 * ms}, {1, 17 * ms}})
	if err != nil || len(got) != 3 || math.Abs(got[0]-1000) > 1 || got[1] > 1 || math.Abs(got[2]-3000) > 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := differences(turns(1, ms), []timed{{1, ms}, {1, ms}}); err == nil {
		t.Errorf("a request that there is no record of: %v", got)
	}
}

func TestNapDifferences(t *testing.T) {
	theirs := []timed{{7, 10 * ms}, {7, 12 * ms}}
	mine := append(turns(7, ms, 11*ms, 12*ms, 0), turns(8, ms, 0)...)
	got, err := napDifferences(mine, theirs, 2)
	if err != nil || len(got) != 2 || math.Abs(got[0]-1) > 1e-6 || got[1] > 1e-6 {
		t.Errorf("%v, %v", got, err)
	}
	for _, c := range []struct {
		mine   []tcprt.Record
		theirs []timed
	}{{turns(7, ms, 11*ms, 0), theirs}, {mine, theirs[:1]}, {nil, nil}} {
		if got, err := napDifferences(slices.Clone(c.mine), c.theirs, 2); err == nil {
			t.Errorf("%d records, %d logged: %v", len(c.mine), len(c.theirs), got)
		}
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0.2: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(values, q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
}

func TestRollup(t *testing.T) {
	got := rollup(said(t, "smaps_rollup"))
	if got["Rss"] != 1640 || got["Pss"] != 407 {
		t.Errorf("%v", got)
	}
}

func TestPostgresRelease(t *testing.T) {
	if n := postgresRelease("/usr/lib/postgresql/15/bin/psql"); n != 15 {
		t.Errorf("%d", n)
	}
}

func TestChosen(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  int
	}{{nil, len(cases)}, {[]string{"counts"}, len(censuses)}, {[]string{"counts-pgbench"}, 3}, {[]string{"counts-redis", "redis"}, 2}, {[]string{"count"}, 0}} {
		n := 0
		for i := range cases {
			if cases[i].Chosen(c.names) {
				n++
			}
		}
		if n != c.want {
			t.Errorf("%v chooses %d cases, want %d", c.names, n, c.want)
		}
	}
	if err := Bench(context.Background(), Options{Cases: []string{"count"}, Say: func(string) {}}); err == nil {
		t.Error("a case that there is not was run")
	}
}

// What a server that does not start leaves behind is nothing.
func TestServerThatFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if s, err := serve("false", func(string, uint16) ([]string, error) { return nil, errors.New("no configuration") }); err == nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
	b := &bencher{Options: Options{Agent: []string{filepath.Join(t.TempDir(), "none")}}}
	if p, err := b.startProgram(""); err == nil {
		t.Errorf("%v", p)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRecording(t *testing.T) {
	b, err := recording(500)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.trt")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := judge(path); err != nil || n != 500 {
		t.Errorf("%d, %v", n, err)
	}
	if all, err := recorded(path); err != nil || len(all) != 500 {
		t.Errorf("%d, %v", len(all), err)
	}
}
