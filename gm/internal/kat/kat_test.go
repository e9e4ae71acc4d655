package kat

import (
	"errors"
	"testing"
)

func TestSpoil(t *testing.T) {
	check := func() error { return Equal("a", "b", []byte{1, 2, 3}, "010203") }
	if err := errors.Join(check(), True("c", "d", true)); err != nil {
		t.Fatal(err)
	}
	mend := Spoil("a", "b")
	if err := Join([]Check{{"a", "b", check}}); !errors.Is(err, ErrMismatch) || err.Error() != "self-test a (b): the answer is not the known one" {
		t.Error(err)
	}
	if err := Equal("a", "other", []byte{1}, "01"); err != nil {
		t.Error(err)
	}
	mend()
	if err := errors.Join(check(), Equal("a", "b", []byte{1}, "02")); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
	defer Spoil("c", "d")()
	if err := True("c", "d", true); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
}
