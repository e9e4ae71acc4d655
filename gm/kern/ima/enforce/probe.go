package enforce

import (
	"fmt"
	"os"
)

// Probe says whether programs can be watched here: nil, a *feature.UnsupportedError, or
// what kept it from finding out. It watches a file of its own, for a moment.
func Probe() error {
	f, err := os.CreateTemp("", "anole-probe-")
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer f.Close()
	defer os.Remove(f.Name())
	e, err := Open(Options{Scope: Path, Paths: []string{f.Name()}})
	if err != nil {
		return err
	}
	return e.Close()
}
