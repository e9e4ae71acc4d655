//go:build !no_tcprt

package all

import _ "github.com/anole-os/anole/tcprt/module"
