package module

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/pcapng"
	"github.com/anole-os/anole/tcprt/trt"
)

// annotated is a capture whose packets get notes of requests.
type annotated struct {
	capture  string
	requests int
	res      pcapng.Result
}

func (a *annotated) form(w *bufio.Writer, of func() time.Duration) sink {
	var n pcapng.Notes
	return sink{func(r *trt.Reader, rec *tcprt.Record) error {
		a.requests++
		names := r.Names(rec.Service())
		return n.Add(rec, term.Clean(names.String()), of())
	}, func() error {
		in, err := os.Open(a.capture)
		if err != nil {
			return core.Exit(core.ExitUsage, fmt.Errorf("open the capture: %w", err))
		}
		defer in.Close()
		if a.res, err = n.Filter(w, in); err != nil {
			return fmt.Errorf("%s: %w", a.capture, err)
		}
		return w.Flush()
	}}
}

// say tells what was found.
func (a *annotated) say(w io.Writer) error {
	fmt.Fprintf(w, "%d of %d packets are of the %d requests, of which %d begin in the capture\n", a.res.Kept, a.res.Packets, a.requests, a.res.Noted)
	if a.res.Cut != nil {
		fmt.Fprintf(w, "%v; what comes after that is left out\n", a.res.Cut)
	}
	if a.requests > 0 && a.res.Kept == 0 {
		return errors.New("no packet of any request: were capture and recording made on the same node at the same time?")
	}
	return nil
}
