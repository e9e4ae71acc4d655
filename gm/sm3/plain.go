//go:build !amd64

package sm3

import "github.com/anole-os/anole/gm/internal/impl"

var implementations = map[impl.Level]sumMany{impl.Generic: oneByOne}
