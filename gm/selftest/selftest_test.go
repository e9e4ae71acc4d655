package selftest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/gm/sm9"
	"github.com/anole-os/anole/gm/zuc"
)

// forget has the process be untested again.
func forget(t *testing.T) {
	t.Helper()
	last.Store(nil)
	t.Cleanup(func() { last.Store(nil) })
}

func TestPasses(t *testing.T) {
	forget(t)
	if s := Last().State; s != Untested {
		t.Errorf("before: %s", s)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := OK(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r := Last(); r.State != Passed || len(r.Results) != len(quick()) {
		t.Fatalf("the first call: %+v", r)
	}
	r := Run(t.Context())
	if r.State != Passed || len(r.Failures()) != 0 || r.Duration <= 0 {
		t.Fatalf("%+v", r)
	}
	// Whatever the processor has is among what was tested.
	for _, want := range []string{"SM3 Sum " + sm3.Implementation(), "SM3 SumMany " + sm3.Implementation(), "SM3 SumMany generic", "SM4 encrypt " + sm4.Implementation(), "SM4-GCM " + sm4.Implementation(), "SM4-GCM generic",
		"SM2 verify generic", "SM2 key exchange gmsm", "SM3 HMAC " + sm3.Implementation(), "SM3 KDF " + sm3.Implementation(),
		"SM9 user key gmsm", "SM9 verify gmsm", "SM9 decapsulate gmsm", "SM9 decrypt gmsm", "SM9 sign, exchange, encapsulate, encrypt gmsm",
		"ZUC key stream gmsm", "ZUC EEA gmsm", "ZUC EIA gmsm", "ZUC-256 key stream gmsm", "ZUC-256 MAC gmsm",
		"DRBG known answer SM3", "DRBG start SM3", "SM2 pairwise consistency new key"} {
		if !slices.ContainsFunc(r.Results, func(c Result) bool { return c.Name+" "+c.Implementation == want && c.Duration > 0 }) {
			t.Errorf("%s is not tested", want)
		}
	}
	cross := slices.ContainsFunc(r.Results, func(c Result) bool { return c.Name == "SM4 modes against generic" })
	if impl.Available()[0] == impl.AVX512 && !cross {
		t.Error("SM4's assembly is not tested against what is generic")
	}
	for name, test := range map[string]func() error{"sm2": sm2.SelfTest, "sm3": sm3.SelfTest, "sm4": sm4.SelfTest, "rng": rng.SelfTest, "sm9": sm9.SelfTest, "zuc": zuc.SelfTest} {
		if err := test(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A known answer with one bit that is another is refused, whichever it is, and nothing is
// given out until a run passes.
func TestSpoiled(t *testing.T) {
	forget(t)
	for _, c := range checks() {
		t.Run(c.Name+" "+c.Implementation, func(t *testing.T) {
			mend := kat.Spoil(c.Name, c.Implementation)
			defer mend()
			r := Run(t.Context())
			bad := r.Failures()
			if r.State != Failed || len(bad) != 1 || bad[0].Name != c.Name || bad[0].Implementation != c.Implementation || !errors.Is(bad[0].Err, kat.ErrMismatch) || bad[0].Error == "" {
				t.Fatalf("%+v", bad)
			}
			if err := OK(); !errors.Is(err, ErrState) || err.Error() != "selftest: cryptography is in its error state" {
				t.Errorf("OK gives %v", err)
			}
			mend()
			if err := OK(); !errors.Is(err, ErrState) {
				t.Errorf("OK gives %v without a run", err)
			}
			if r := Run(t.Context()); r.State != Passed || OK() != nil {
				t.Errorf("afterwards: %+v, %v", r.Failures(), OK())
			}
		})
	}
}

func TestPairwise(t *testing.T) {
	forget(t)
	key, err := sm2.GenerateKey(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := Pairwise(key); err != nil {
		t.Fatal(err)
	}
	other, err := sm2.GenerateKey(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key.PublicKey = other.PublicKey
	if err := Pairwise(key); !errors.Is(err, errPair) {
		t.Fatalf("a pair that is none: %v", err)
	}
	if err := OK(); !errors.Is(err, ErrState) {
		t.Errorf("OK gives %v", err)
	}
	if f := Last().Failures(); len(f) != 1 || f[0].Name != pairwise {
		t.Errorf("%+v", f)
	}
	if r := Run(t.Context()); r.State != Passed {
		t.Errorf("%+v", r.Failures())
	}
}

func TestStopped(t *testing.T) {
	forget(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Run(over); r.State != Untested || Last().State != Untested {
		t.Errorf("%+v", r)
	}
	if r := Run(t.Context()); r.State != Passed {
		t.Errorf("%+v", r)
	}
	if r := Run(over); r.State != Untested || Last().State != Passed {
		t.Errorf("a run that was stopped changes the state: %+v, %s", r, Last().State)
	}
}

func TestGuarded(t *testing.T) {
	err := guarded(func() error { panic("all wrong") })
	if err == nil || !strings.Contains(err.Error(), "all wrong") {
		t.Error(err)
	}
}

func BenchmarkOK(b *testing.B) {
	for b.Loop() {
		if err := OK(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if r := Run(b.Context()); r.State != Passed {
			b.Fatal(r.Failures())
		}
	}
}
