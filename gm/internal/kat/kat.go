// Package kat is what the self-tests of the algorithms share: known answers, each for one
// implementation, of which a test can spoil one to see that it is noticed.
package kat

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
)

// Check is a self-test of one implementation.
type Check struct {
	Name           string // "SM4 encrypt"
	Implementation string // "avx512"
	Run            func() error
}

// ErrMismatch is of an answer that is not the known one.
var ErrMismatch = errors.New("the answer is not the known one")

// Join runs checks one after the other, and gives the error of the first that fails.
func Join(checks []Check) error {
	for _, c := range checks {
		if err := c.Run(); err != nil {
			return fmt.Errorf("self-test %s (%s): %w", c.Name, c.Implementation, err)
		}
	}
	return nil
}

type spoiled struct{ name, implementation string }

var spoil atomic.Pointer[spoiled]

// Spoil has the known answer of a check be wrong in one bit until the function that it
// gives is called. It is for tests.
func Spoil(name, implementation string) (mend func()) {
	spoil.Store(&spoiled{name, implementation})
	return func() { spoil.Store(nil) }
}

// Hex are bytes that are written into the program.
func Hex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("kat: " + err.Error())
	}
	return b
}

// Equal compares an answer with the known one, which is in hexadecimal.
func Equal(name, implementation string, got []byte, want string) error {
	known := Hex(want)
	if s := spoil.Load(); s != nil && s.name == name && s.implementation == implementation {
		known[len(known)/2] ^= 1
	}
	if !bytes.Equal(got, known) {
		return ErrMismatch
	}
	return nil
}

// True is for a check without bytes to compare.
func True(name, implementation string, ok bool) error {
	if s := spoil.Load(); s != nil && s.name == name && s.implementation == implementation {
		ok = !ok
	}
	if !ok {
		return ErrMismatch
	}
	return nil
}
