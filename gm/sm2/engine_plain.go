//go:build !amd64

package sm2

import "github.com/anole-os/anole/gm/internal/impl"

var engines = map[impl.Level]eng{impl.Generic: nil}
