package trace

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/anole-os/anole/qos/sim"
)

// Whatever is in a table: it is read, or refused with a line that is there, and
// what was read can be simulated.
func FuzzRead(f *testing.F) {
	for name, text := range small() {
		f.Add(name, text)
		f.Add(name, strings.ReplaceAll(text, ",", ",,"))
	}
	f.Add("batch_task", "M2_1,9,j,,,1,2,3,4\nM1_2,9,j,,,1,2,3,4\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		tables := small()
		if _, ok := tables[name]; !ok {
			return
		}
		tables[name] = text
		fleet, _, err := Read(context.Background(), Options{Dir: put(t, tables), Hours: 0.05})
		var row *RowError
		switch {
		case errors.As(err, &row):
			if lines := strings.Count(text, "\n") + 1; row.Line < 1 || row.Line > lines || row.Want == "" {
				t.Fatalf("line %d of %d: %v", row.Line, lines, err)
			}
		case err == nil:
			if err := fleet.Validate(); err != nil {
				t.Fatalf("read, but %v", err)
			}
			if cores := fleet.Cores(); cores < 1e5 && work(fleet) < 1e7 {
				run(t, fleet)
			}
		}
	})
}

func work(f *sim.Fleet) (n int) {
	for i := range f.Tasks {
		n += int(f.Tasks[i].Instances)
	}
	return n
}

func run(t *testing.T, f *sim.Fleet) {
	t.Helper()
	if _, err := sim.Run(context.Background(), f, sim.Options{Seed: 1, Workers: 1}); err != nil {
		t.Fatal(err)
	}
}
