package rng

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Kernel is the kernel's generator, getrandom(2): it waits until that was seeded, once
// after boot. Unlike crypto/rand it gives an error where the kernel does.
var Kernel io.Reader = kernel{}

type kernel struct{}

func (kernel) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k, err := unix.Getrandom(b[n:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("getrandom: %w", err)
		}
		n += k
	}
	return n, nil
}
