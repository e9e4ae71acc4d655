//go:build !no_gm

package all

import _ "github.com/anole-os/anole/gm/module"
