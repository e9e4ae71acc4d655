package luks2

import (
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// ErrMemory is of a key slot whose Argon2 takes more than half of this machine's memory.
// Others open it, on a machine that has more.
var ErrMemory = errors.New("more than half of this machine's memory")

// machine is the KiB that this machine has; tests change it.
var machine = func() uint64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 2 * maxMemory
	}
	return i.Totalram * uint64(i.Unit) >> 10
}

// affordable says whether this machine has the memory for it: a header of someone else
// says how much that is, before anybody has shown a passphrase.
func (k *KDF) affordable() error {
	if most := machine() / 2; k.Type != "pbkdf2" && uint64(k.Memory) > most {
		return fmt.Errorf("Argon2 with %d KiB: %w, which are %d KiB", k.Memory, ErrMemory, most)
	}
	return nil
}

// release gives the memory of Argon2 back at once: the next slot takes as much.
func (k *KDF) release() {
	if k.Memory >= 64<<10 {
		debug.FreeOSMemory()
	}
}

// Least work of the key slots that are written: what cryptsetup too holds its own to. Those
// that are there already may ask for less.
const (
	leastRounds = 1000 // of PBKDF2
	leastPasses = 4    // of Argon2
	leastMemory = 32   // KiB, of Argon2
)

// ErrWeak is of a key slot that is to be written and that asks for too little work of those
// who try passphrases.
var ErrWeak = errors.New("too little work to hold those off who try passphrases")

// strong says whether a slot with it may be written.
func (k *KDF) strong() error {
	switch {
	case k.Type == "pbkdf2" && k.Iterations < leastRounds:
		return fmt.Errorf("%d iterations of PBKDF2: %w: %d is the least", k.Iterations, ErrWeak, leastRounds)
	case k.Type != "pbkdf2" && k.Time < leastPasses:
		return fmt.Errorf("%d passes of Argon2: %w: %d is the least", k.Time, ErrWeak, leastPasses)
	case k.Type != "pbkdf2" && k.Memory < leastMemory:
		return fmt.Errorf("%d KiB of Argon2: %w: %d is the least", k.Memory, ErrWeak, leastMemory)
	}
	return nil
}
