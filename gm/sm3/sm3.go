package sm3

import (
	"hash"

	one "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/impl"
)

// Size and BlockSize are in bytes.
const (
	Size      = 32
	BlockSize = 64
)

// New begins a hash.
func New() hash.Hash { return one.New() }

// Sum hashes a message.
func Sum(message []byte) [Size]byte { return one.Sum(message) }

// SumMany hashes messages, the i-th to dst[i]. It takes the least time where there are
// many of about one length. It panics where dst is shorter than messages.
func SumMany(dst [][Size]byte, messages [][]byte) {
	if len(dst) < len(messages) {
		panic("sm3: fewer places than messages")
	}
	many(dst, messages)
}

// sumMany is an implementation of SumMany.
type sumMany func(dst [][Size]byte, messages [][]byte)

var many, level = impl.Choose(implementations)

// Implementation names the one of SumMany that is taken.
func Implementation() string { return level.String() }

func oneByOne(dst [][Size]byte, messages [][]byte) {
	for i, m := range messages {
		dst[i] = one.Sum(m)
	}
}
