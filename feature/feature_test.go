package feature_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/anole-os/anole/feature"
)

func TestProbeAnswers(t *testing.T) {
	unsupported := &feature.UnsupportedError{
		Feature: "cpu.idle", Reason: feature.NoKernel, Need: "Linux 5.15", Fix: "upgrade the kernel", Err: syscall.ENOENT,
	}
	cases := []struct {
		name string
		err  error
		want feature.Answer
	}{
		{"nil is yes", nil, feature.Yes},
		{"typed is no", fmt.Errorf("probe: %w", unsupported), feature.No},
		{"anything else is unknown", syscall.EACCES, feature.Unknown},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := feature.NewProbe("qos", "cpu.idle", "", func() (string, error) { return "seen", c.err })
			if got := p.Result().Answer; got != c.want {
				t.Fatalf("answer %q, want %q", got, c.want)
			}
			if !errors.Is(p.Err(), c.err) {
				t.Fatalf("err %v, want %v", p.Err(), c.err)
			}
		})
	}
}

func TestProbeAsksOnce(t *testing.T) {
	n := 0
	p := feature.NewProbe("qos", "x", "", func() (string, error) { n++; return "", nil })
	p.Result()
	_ = p.Err()
	if n != 1 {
		t.Fatalf("asked %d times, want 1", n)
	}
}

func TestUnsupportedErrorSaysEverything(t *testing.T) {
	err := &feature.UnsupportedError{Feature: "X", Reason: feature.NoPeer, Need: "Y", Fix: "install Y", Err: syscall.ENOENT}
	const want = "X is not supported here (no_peer): needs Y: no such file or directory; install Y"
	if err.Error() != want {
		t.Fatalf("got  %q\nwant %q", err.Error(), want)
	}
	if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, syscall.ENOENT) {
		t.Fatal("must be both errors.ErrUnsupported and the kernel's error")
	}
}

func TestEveryReasonHasAMeaning(t *testing.T) {
	for _, r := range feature.Reasons() {
		if r.Meaning() == "" {
			t.Errorf("%s has no meaning", r)
		}
	}
}
