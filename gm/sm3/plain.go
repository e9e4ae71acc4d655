//go:build !amd64

package sm3

import (
	"hash"

	"github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/impl"
)

var implementations = map[impl.Level]kernel{impl.Generic: {many: oneByOne}}

// New begins a hash. It implements hash.Cloner, encoding.BinaryMarshaler and
// encoding.BinaryUnmarshaler as well.
func New() hash.Hash { return sm3.New() }

// Sum hashes a message.
func Sum(message []byte) [Size]byte { return sm3.Sum(message) }
