//go:build !no_workload

package all

import _ "github.com/anole-os/anole/workload/module"
