// Command anole is the node agent and its command line.
package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/cli"
	_ "github.com/anole-os/anole/modules/all"
	"github.com/anole-os/anole/web"
)

func main() {
	if helper := core.Default.Entry(os.Args); helper != nil {
		os.Exit(cli.Exit(helper(), os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Run(ctx, os.Args[1:], cli.Options{Undo: cgroup.Undo, Claim: cgroup.ClaimNode, Web: console, Out: os.Stdout, Err: os.Stderr})
	os.Exit(code)
}

func console(panels []core.Panel) http.Handler {
	out := make([]web.Panel, len(panels))
	for i, p := range panels {
		out[i] = web.Panel(p)
	}
	return web.Handler(out)
}
