package sm3

import (
	"github.com/anole-os/anole/gm/internal/impl"
)

// Size and BlockSize are in bytes.
const (
	Size      = 32
	BlockSize = 64
)

// kernel is an implementation.
type kernel struct {
	blocks int // of one message
	many   func(dst [][Size]byte, messages [][]byte)
}

var (
	chosen kernel
	level  impl.Level
)

// In init, as the kernels themselves go back to what was chosen.
func init() { chosen, level = impl.Choose(implementations) }

// Implementation names the one that is taken.
func Implementation() string { return level.String() }

// SumMany hashes messages, the i-th to dst[i]. It takes the least time where there are
// many of about one length. It panics where dst is shorter than messages.
func SumMany(dst [][Size]byte, messages [][]byte) {
	if len(dst) < len(messages) {
		panic("sm3: fewer places than messages")
	}
	chosen.many(dst, messages)
}

func oneByOne(dst [][Size]byte, messages [][]byte) {
	for i, m := range messages {
		dst[i] = Sum(m)
	}
}
