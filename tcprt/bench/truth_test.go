package bench

import (
	"context"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

// What servers count is what the records are held to, so it is held to what the clients
// are known to ask: so many requests, and with each connection its greeting and its
// good-bye where the protocol has them. Nothing is measured here.
func TestTruth(t *testing.T) {
	testkit.Select(t, "peer") // it needs what scripts/setup.sh bench installs
	testkit.NeedRoot(t)
	const n, conns = 800, 8
	// pgbench and mysqlslap make a connection more, before all others; pgbench asks
	// two things on it.
	for name, want := range map[string][]int{
		"redis":            {n + 1}, // for the settings
		"h2load":           {n},
		"pgbench-simple":   {n + 2 + 2*(conns+1)},
		"pgbench-extended": {n + 2 + 2*(conns+1)},
		"pgbench-prepared": {n + 2 + 2*(conns+1) + conns},
		"mysqlslap":        {n + 2*(conns+1)},
		"haproxy":          {n, n},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range censuses {
				if c.name == name {
					got := truths(t, c.open, n)
					for i := range want {
						if got[i] != want[i] {
							t.Errorf("side %d: %d requests, want %d", i, got[i], want[i])
						}
					}
				}
			}
		})
	}
}

func truths(t *testing.T, open func(*bencher, context.Context, int) (*census, error), n int) (got []int) {
	t.Helper()
	s, err := open(&bencher{}, t.Context(), n)
	testkit.Need(t, err)
	defer s.stop()
	if err := s.load(t.Context()); err != nil {
		testkit.Need(t, err)
	}
	for _, x := range s.sides {
		m, err := x.truth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
	return got
}
