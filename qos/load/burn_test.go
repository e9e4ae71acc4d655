package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// cheap is a unit of a few microseconds, so that counts move at once.
var cheap = Calibration{SpinPerMS: 1000, LinesPerMS: 100}

// pollStats reads path until ok.
func pollStats(t *testing.T, path string, ok func(BurnStats) bool) BurnStats {
	t.Helper()
	var s BurnStats
	var err error
	for range 3000 {
		if s, err = ReadBurnStats(path); err == nil && ok(s) {
			return s
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("stats stay %+v, %v", s, err)
	return s
}

func TestBurnCountsWork(t *testing.T) {
	for _, kind := range []Kind{Spin, Memory, Mixed} {
		t.Run(string(kind), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "be.stats")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan BurnStats, 1)
			go func() {
				s, err := Burn(ctx, BurnOptions{Threads: 2, Kind: kind, Buffer: 1 << 16, Calibration: cheap, StatsFile: path})
				if err != nil {
					t.Error(err)
				}
				done <- s
			}()
			mid := pollStats(t, path, func(s BurnStats) bool { return s.PerThread[0] > 100 && s.PerThread[1] > 100 })
			cancel()
			last := <-done
			if last.Units < mid.Units || last.CPU < mid.CPU || last.CPU <= 0 || last.Kind != kind || last.PID != os.Getpid() {
				t.Fatalf("first %+v, last %+v", mid, last)
			}
			after, err := ReadBurnStats(path)
			if err != nil || after.Units != last.Units {
				t.Fatalf("file has %+v, %v", after, err)
			}
		})
	}
}

func TestBurnReports(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := Burn(ctx, BurnOptions{Threads: 1, Calibration: cheap, Interval: 10 * time.Millisecond, Report: w})
		done <- errors.Join(err, w.Close())
	}()
	dec := json.NewDecoder(r)
	var a, b BurnStats
	for i := 0; ; i++ {
		if err := dec.Decode(&b); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if b.Units < a.Units {
			t.Fatalf("work went from %d to %d", a.Units, b.Units)
		}
		if a = b; i == 3 {
			cancel()
		}
	}
	if err := <-done; err != nil || a.Units == 0 {
		t.Fatalf("last line %+v, %v", a, err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestBurnEndsWhenItsReaderIsGone(t *testing.T) {
	_, err := Burn(t.Context(), BurnOptions{Threads: 1, Calibration: cheap, Interval: time.Millisecond, Report: brokenWriter{}})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("error %v", err)
	}
}

func TestBurnRefuses(t *testing.T) {
	for name, o := range map[string]BurnOptions{
		"threads":   {Threads: -1},
		"many":      {Threads: maxBurnThreads + 1},
		"kind":      {Kind: "disk"},
		"buffer":    {Buffer: 1},
		"huge":      {Buffer: 1 << 50},
		"no folder": {StatsFile: "/nonexistent/be.stats"},
	} {
		o.Calibration = cheap
		if _, err := Burn(t.Context(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestKilledBurnerLeavesItsCount runs the test binary again as a burner and
// kills it.
func TestKilledBurnerLeavesItsCount(t *testing.T) {
	const env = "LOAD_TEST_BURN"
	if path := os.Getenv(env); path != "" {
		_, err := Burn(t.Context(), BurnOptions{Threads: 1, Calibration: cheap, StatsFile: path})
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "be.stats")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env+"="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	alive := pollStats(t, path, func(s BurnStats) bool { return s.Units > 1000 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	dead, err := ReadBurnStats(path)
	if err != nil || dead.Units < alive.Units || dead.PID != cmd.Process.Pid {
		t.Fatalf("alive %+v, dead %+v, %v", alive, dead, err)
	}
}

func FuzzParseStats(f *testing.F) {
	path := filepath.Join(f.TempDir(), "be.stats")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Burn(ctx, BurnOptions{Threads: 2, Calibration: cheap, StatsFile: path}); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(bytes.Repeat([]byte{0xff}, 128))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStats(b)
		if (err == nil) != (s.Threads > 0) || len(s.PerThread) != s.Threads || len(b) < 64*s.Threads {
			t.Fatalf("%+v, %v from %d bytes", s, err, len(b))
		}
	})
}
