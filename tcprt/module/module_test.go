package module

import (
	"log/slog"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/workload"
)

// The room works without another that hears of slow services, and takes what it is
// offered.
func TestBreachesAreWanted(t *testing.T) {
	for _, b := range []*workload.Breaches{nil, new(workload.Breaches)} {
		offers := &core.Offers{}
		if b != nil {
			if err := core.Offer(offers, b); err != nil {
				t.Fatal(err)
			}
		}
		m := New()
		if err := m.Provision(&core.Host{Log: slog.New(slog.DiscardHandler), Offers: offers}); err != nil {
			t.Fatal(err)
		}
		if m.breaches != b {
			t.Errorf("offered %p, taken %p", b, m.breaches)
		}
	}
}
