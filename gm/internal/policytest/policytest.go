// Package policytest puts policies in force for tests.
package policytest

import (
	"testing"

	"github.com/anole-os/anole/gm/policy"
)

// Set puts a policy in force until the test ends.
func Set(t *testing.T, c policy.Config) {
	t.Helper()
	p, err := policy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	before := policy.Default.Policy()
	policy.Default.Set(p)
	t.Cleanup(func() { policy.Default.Set(before) })
}
