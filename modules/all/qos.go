//go:build !no_qos

package all

import _ "github.com/anole-os/anole/qos/module"
