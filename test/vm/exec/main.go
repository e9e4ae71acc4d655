// Exec is for `go test -exec`: it runs the test binary in the virtual machine
// that test/vm/with has booted.
package main

import (
	"fmt"
	"os"

	"github.com/anole-os/anole/test/vm"
)

func main() {
	socket := os.Getenv(vm.SocketEnv)
	if socket == "" || len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "exec runs below test/vm/with: with -kernel 6.1 -- go test -exec exec ./…")
		os.Exit(2)
	}
	code, err := vm.Exec(socket, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "exec:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
