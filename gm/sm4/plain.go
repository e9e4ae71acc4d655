//go:build !amd64

package sm4

import "github.com/anole-os/anole/gm/internal/impl"

var implementations = map[impl.Level]open{impl.Generic: openGeneric}
