package store

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeClock is a wall clock that moves only when told.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a Store whose loop is turned by hand, with a server in front.
type rig struct {
	*Store
	t     *testing.T
	reg   *prometheus.Registry
	clock *fakeClock
	url   string
	log   *strings.Builder
}

// epoch is where fake clocks start: a round minute, inside a block.
var epoch = time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC)

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, reg: prometheus.NewRegistry(), clock: &fakeClock{now: epoch}, log: &strings.Builder{}}
	o := Options{
		Dir: t.TempDir() + "/history", Gatherer: r.reg, Instance: "node1", Now: r.clock.Now,
		Retry: time.Nanosecond, Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.Store, err = newStore(o); err != nil {
		t.Fatal(err)
	}
	close(r.done) // no loop: Close need not wait for it
	srv := httptest.NewServer(r.Handler())
	r.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// steps turns the loop n times, 5 s apart.
func (r *rig) steps(n int) {
	for range n {
		r.clock.add(5 * time.Second)
		r.step()
	}
}

// reply is the envelope of the Prometheus HTTP API.
type reply struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	code      int
}

func (r *rig) get(path string, kv ...string) reply {
	r.t.Helper()
	resp, err := http.Get(r.url + "/api/v1/" + path + "?" + form(kv).Encode())
	return r.decode(resp, err)
}

func (r *rig) post(path string, kv ...string) reply {
	r.t.Helper()
	resp, err := http.PostForm(r.url+"/api/v1/"+path, form(kv))
	return r.decode(resp, err)
}

func form(kv []string) url.Values {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return v
}

func (r *rig) decode(resp *http.Response, err error) (out reply) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		r.t.Fatalf("answer is not JSON: %v: %s", err, body)
	}
	out.code = resp.StatusCode
	return out
}

// value runs an instant query and returns the values by the given label.
func (r *rig) values(query, label string) map[string]string {
	r.t.Helper()
	rep := r.get("query", "query", query, "time", r.clock.Now().Format(time.RFC3339Nano))
	if rep.code != http.StatusOK {
		r.t.Fatalf("query %s: %d %s", query, rep.code, rep.Error)
	}
	var data struct {
		ResultType string
		Result     []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := json.Unmarshal(rep.Data, &data); err != nil {
		r.t.Fatalf("%v: %s", err, rep.Data)
	}
	out := make(map[string]string)
	for _, s := range data.Result {
		out[s.Metric[label]] = s.Value[1].(string)
	}
	return out
}

func (r *rig) wantState(want State) {
	r.t.Helper()
	if h := r.Health(); h.State != want {
		r.t.Fatalf("state = %q (reason %q, note %q), want %q", h.State, h.Reason, h.Note, want)
	}
}
