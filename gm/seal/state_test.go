package seal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
)

// In the error state nothing is sealed or opened, nor where the policy denies an algorithm of
// the format.
func TestErrorState(t *testing.T) {
	o := Options{Password: word, Iterations: 1000}
	b := sealed(t, []byte("plain"), o)
	refused := func(what string, is func(error) bool) {
		t.Helper()
		var out bytes.Buffer
		if w, err := NewWriter(&out, o); w != nil || !is(err) || out.Len() > 0 {
			t.Errorf("%s: seal: %v", what, err)
		}
		if got, err := open(b, Opener{Password: asked}); !is(err) || got != nil {
			t.Errorf("%s: open: %q, %v", what, got, err)
		}
	}
	selftest.Fail("condition", errors.New("of this test"))
	defer selftest.Run(t.Context())
	refused("error state", func(err error) bool { return errors.Is(err, selftest.ErrState) })
	if r := selftest.Run(t.Context()); r.State != selftest.Passed {
		t.Fatalf("%+v", r.Failures())
	}
	policytest.Set(t, policy.Config{Mode: policy.Intl, MinBits: 192})
	refused("192 bits", policy.Denied)
}
