//go:build !amd64

package sm4

import "github.com/anole-os/anole/gm/internal/impl"

var implementations = map[impl.Level]open{impl.Generic: openGeneric, impl.Assembly: openAssembly}

// openAssembly is gmsm's for this processor.
func openAssembly(key *[KeySize]byte) engine { return openBatch(key, newPlainHash) }
