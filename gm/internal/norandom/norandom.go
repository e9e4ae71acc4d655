// Package norandom puts the process' random bit generator out of order, for tests that what
// needs random bytes fails with it and leaves nothing behind.
package norandom

import (
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/rng"
)

var errSource = errors.New("the source is broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errSource }

// Break has rng.Reader be in its error state until the test ends, or mend is called. Such
// tests do not run in parallel with others.
func Break(t testing.TB) (mend func()) {
	t.Helper()
	old := rng.Reader
	g, err := rng.Open(rng.Options{Source: broken{}, Shards: 1})
	if err == nil {
		t.Fatal("a generator starts without a source")
	}
	rng.Reader = g
	mend = func() { rng.Reader = old }
	t.Cleanup(mend)
	return mend
}
