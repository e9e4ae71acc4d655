package load

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// started opens a service and serves it until the returned stop, which gives
// its last statistics.
func started(t *testing.T, o ServiceOptions) (*Service, func() ServiceStats) {
	t.Helper()
	s, err := OpenService(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	type outcome struct {
		stats ServiceStats
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		stats, err := s.Serve(ctx)
		done <- outcome{stats, err}
	}()
	t.Cleanup(cancel)
	return s, func() ServiceStats {
		cancel()
		out := <-done
		if out.err != nil {
			t.Fatal(out.err)
		}
		return out.stats
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v", url, resp.Status, err)
	}
	return b
}

func TestServiceEndpoints(t *testing.T) {
	s, stop := started(t, ServiceOptions{Calibration: Calibration{SpinPerMS: 1000}})
	if b := get(t, "http://"+s.Addr()+"/healthz"); string(b) != "ok\n" {
		t.Fatalf("healthz %q", b)
	}
	var reply Reply
	if err := json.Unmarshal(get(t, s.URL()), &reply); err != nil || reply.QueueNS != -1 || reply.ServeNS <= 0 {
		t.Fatalf("reply %+v, %v", reply, err)
	}
	var stats ServiceStats
	if err := json.Unmarshal(get(t, "http://"+s.Addr()+"/stats"), &stats); err != nil || stats.Requests != 1 || stats.Work != time.Millisecond {
		t.Fatalf("stats %+v, %v", stats, err)
	}
	if last := stop(); last.Requests != 1 || last.Queue.Count != 0 {
		t.Fatalf("last stats %+v", last)
	}
}

func TestServiceUnderGenerator(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	s, stop := started(t, ServiceOptions{Work: 100 * time.Microsecond, Threads: procs})
	r := generated(t, GenOptions{URL: s.URL(), Rate: 200, Duration: 300 * time.Millisecond})
	stats := stop()
	if r.OK != r.Requests || stats.Requests != r.OK || stats.Queue.Count != r.OK {
		t.Fatalf("%d of %d ok, service had %d, %d with queue time", r.OK, r.Requests, stats.Requests, stats.Queue.Count)
	}
	if stats.Serve.P50 <= 0 || stats.Queue.P50 <= 0 || r.Latency.P50 < stats.Serve.P50/2 {
		t.Fatalf("latency %v, queue %v, serve %v", r.Latency.P50, stats.Queue.P50, stats.Serve.P50)
	}
	if runtime.GOMAXPROCS(0) != procs {
		t.Fatal("GOMAXPROCS was not put back")
	}
}

func TestServiceRefuses(t *testing.T) {
	cal := Calibration{SpinPerMS: 1}
	for name, o := range map[string]ServiceOptions{
		"any address": {Listen: "0.0.0.0:0", Calibration: cal},
		"no host":     {Listen: ":0", Calibration: cal},
		"no port":     {Listen: "127.0.0.1", Calibration: cal},
		"work":        {Work: -1, Calibration: cal},
		"long work":   {Work: time.Hour, Calibration: cal},
		"threads":     {Threads: -1, Calibration: cal},
	} {
		if s, err := OpenService(o); err == nil {
			_ = s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSentHeaderIsForeign(t *testing.T) {
	for _, text := range []string{"", "-1", "abc", "99999999999999999999", "999999999999999999", "1 ", strings.Repeat("9", 100)} {
		if got := sinceSent(text); got != -1 {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestBurstWorkload(t *testing.T) {
	o := BurstOptions{Seed: 1}
	g, err := o.GenOptions()
	if err != nil || g.Rate < 39.99 || g.Rate > 40.01 || g.BatchSize != 10 || g.Arrival != Batch {
		t.Fatalf("options %+v, %v", g, err)
	}
	if _, err := (BurstOptions{Utilisation: -1}).GenOptions(); err == nil {
		t.Fatal("accepted a negative utilisation")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Service = ServiceOptions{Work: 200 * time.Microsecond}
	url, served := make(chan string, 1), make(chan ServiceStats, 1)
	go func() {
		stats, err := BurstService(ctx, o, func(u string) { url <- u })
		if err != nil {
			t.Error(err)
			url <- ""
		}
		served <- stats
	}()
	o.URL, o.Count = <-url, 60
	r, err := BurstClient(ctx, o)
	cancel()
	stats := <-served
	if err != nil || r.OK != 60 || stats.Requests != 60 || stats.Work != o.Service.Work {
		t.Fatalf("%d ok, errors %v, service %+v, %v", r.OK, r.Errors, stats, err)
	}
}

func TestCalibration(t *testing.T) {
	c, err := Calibrate(false)
	if err != nil {
		t.Fatal(err)
	}
	// Even an emulated core does 10k steps a millisecond, none does 100M.
	if c.SpinPerMS < 1e4 || c.SpinPerMS > 1e8 || c.LinesPerMS != 0 {
		t.Fatalf("calibration %+v", c)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	took, err := threadTime(spin, c.spins(20*time.Millisecond))
	if err != nil || took < 10*time.Millisecond || took > 200*time.Millisecond {
		t.Fatalf("20 ms of work took %v of CPU, %v", took, err)
	}
	given, err := Calibration{SpinPerMS: 5}.complete(false)
	if err != nil || given.SpinPerMS != 5 {
		t.Fatalf("given calibration became %+v, %v", given, err)
	}
}

func TestStreamWraps(t *testing.T) {
	buf := make([]uint64, 3*wordsPerLine)
	if at := stream(buf, 2, 5); at != 1 {
		t.Fatalf("stopped at line %d", at)
	}
	// Lines 2 0 1 2 0: line n gets n each time.
	for i, v := range buf {
		if want := []uint64{0, 1, 4}[i/wordsPerLine]; v != want {
			t.Fatalf("word %d is %d, want %d", i, v, want)
		}
	}
}
