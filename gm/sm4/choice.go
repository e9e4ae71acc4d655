package sm4

import "github.com/anole-os/anole/gm/internal/impl"

// open makes an engine of a key.
type open func(key *[KeySize]byte) engine

var chosen, level = impl.Choose(implementations)

// Implementation names the one that is taken.
func Implementation() string { return level.String() }
