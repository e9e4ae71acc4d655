package module

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/observer"
	"github.com/anole-os/anole/tcprt/trt"
)

// flushEvery bounds what a recording lacks of an agent that is killed.
const flushEvery = 200 * time.Millisecond

// lastWords is what the kernel has in store takes to be read.
const lastWords = 250 * time.Millisecond

// record streams a recording until the client leaves.
func (m *Module) record(w http.ResponseWriter, r *http.Request) {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() != "unix" {
		core.Answer(w, nil, &core.HTTPError{Code: http.StatusForbidden, Err: errors.New("recordings are given on the agent's unix socket only: use anole tcprt record")})
		return
	}
	o := m.running()
	if o == nil {
		core.Answer(w, nil, errNotRunning)
		return
	}
	tap, err := o.Tap(r.URL.Query().Get("all") == "true")
	if err != nil {
		if errors.Is(err, observer.ErrBusy) {
			err = &core.HTTPError{Code: http.StatusConflict, Err: err}
		}
		core.Answer(w, nil, err)
		return
	}
	defer func() {
		if err := tap.Close(); err != nil {
			m.log.Warn("end recording", "err", err)
		}
	}()
	over, forget := m.recording(r.URL.Query().Get("id"))
	defer forget()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := m.stream(r.Context(), o, tap, over, w); err != nil && r.Context().Err() == nil {
		m.log.Warn("recording ended", "err", err)
	}
}

// recording notes one that can be ended by its id, where it has one.
func (m *Module) recording(id string) (over <-chan struct{}, forget func()) {
	c := make(chan struct{})
	if id == "" {
		return c, func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recordings == nil {
		m.recordings = map[string]chan struct{}{}
	}
	m.recordings[id] = c
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.recordings[id] == c {
			delete(m.recordings, id)
		}
	}
}

// endRecording has a recording end with all that was measured until now: a client that
// just leaves does without what it was not sent yet.
func (m *Module) endRecording(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.recordings[id]
	if c == nil {
		core.Answer(w, nil, &core.HTTPError{Code: http.StatusNotFound, Err: fmt.Errorf("there is no recording %q", id)})
		return
	}
	delete(m.recordings, id)
	close(c)
	core.Answer(w, struct{}{}, nil)
}

func (m *Module) stream(ctx context.Context, o *observer.Observer, tap *observer.Tap, over <-chan struct{}, w http.ResponseWriter) error {
	out, err := trt.NewWriter(w, o.Header())
	if err != nil {
		return err
	}
	defer out.Close()
	flush := http.NewResponseController(w).Flush
	if err := errors.Join(out.Names(o.Named()), flush()); err != nil {
		return err
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	named := time.Now()
	before, err := o.Dropped()
	if err != nil {
		return err
	}
	// told writes what there is, and how much is not.
	told := func() error {
		now, err := o.Dropped()
		return errors.Join(err, out.Lost(tap.Lost()+max(now, before)-before), out.Flush())
	}
	write := func(batch []tcprt.Record) error {
		for i := range batch {
			if err := out.Add(&batch[i]); err != nil {
				return err
			}
		}
		tap.Done(batch)
		return nil
	}
	var last <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case batch := <-tap.C():
			if err := write(batch); err != nil {
				return err
			}
		case <-over:
			over, last = nil, time.After(lastWords)
		case <-last:
			if err := tap.Close(); err != nil {
				return err
			}
			for len(tap.C()) > 0 {
				if err := write(<-tap.C()); err != nil {
					return err
				}
			}
			return told()
		case now := <-tick.C:
			if m.running() != o {
				panic(http.ErrAbortHandler) // so that the client does not take it for the end
			}
			if now.Sub(named) > 10*time.Second { // there are new services
				named = now
				if err := out.Names(o.Named()); err != nil {
					return err
				}
			}
			if err := errors.Join(told(), flush()); err != nil {
				return err
			}
		}
	}
}

func recordCommand() *cobra.Command {
	var length time.Duration
	var kept bool
	c := &cobra.Command{
		Use:   "record [FILE]",
		Short: "Record every request, for replay, join and export",
		Long: `Records every request of the node until --for is over or you press Ctrl-C: those
that the running agent measures, or, where none runs, all. - is standard output.
Without a name it is anole-tcprt-TIME.trt.`,
		Example: "  anole tcprt record --for 5m evening.trt\n  anole tcprt replay evening.trt\n  anole tcprt export evening.trt --to perfetto > evening.json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "anole-tcprt-" + time.Now().Format("20060102-150405") + ".trt"
			if len(args) > 0 {
				path = args[0]
			}
			if length < 0 {
				return core.Exit(core.ExitUsage, fmt.Errorf("--for: %v is not a length of time", length))
			}
			return recordTo(cmd, path, length, kept)
		},
	}
	c.Flags().DurationVar(&length, "for", 0, "how long; 0 is until Ctrl-C")
	c.Flags().BoolVar(&kept, "kept", false, "only what the agent keeps anyway: slow, failed and sampled requests")
	return c
}

// counter counts what is written, and shows it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func recordTo(cmd *cobra.Command, path string, length time.Duration, kept bool) (err error) {
	env := core.EnvFrom(cmd.Context())
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if length > 0 {
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	// What can fail comes before the file is there.
	id := rand.Text()
	sent, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	body, err := env.Send(sent, http.MethodGet, "tcprt/record", url.Values{"all": {fmt.Sprint(!kept)}, "id": {id}}, nil)
	alone := core.ExitCode(err) == core.ExitUnreachable && err != nil
	var own *tcprt.Collector
	switch {
	case alone:
		if own, err = tcprt.Open(tcprt.Options{}); err != nil {
			return err
		}
		defer own.Close()
	case err != nil:
		return err
	default:
		defer body.Close()
	}
	out := &counter{w: env.Out}
	if path != "-" {
		f, e := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if e != nil {
			return core.Exit(core.ExitUsage, fmt.Errorf("create recording: %w", e))
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out.w = f
	}
	began := time.Now()
	bar := term.NewProgress(env.Err, "recording", int64(length/time.Second))
	go func() {
		for ctx.Err() == nil {
			bar.Set(int64(time.Since(began) / time.Second))
			time.Sleep(200 * time.Millisecond)
		}
	}()
	if alone {
		err = recordAlone(ctx, own, out)
	} else {
		stop := context.AfterFunc(ctx, func() { askForEnd(sent, env, id, leave) })
		defer stop()
		if _, err = io.Copy(out, body); ctx.Err() == nil && err == nil {
			err = core.Exit(core.ExitUnreachable, errors.New("the agent ended; what came until then is recorded"))
		}
	}
	if ctx.Err() != nil && !alone {
		err = nil // it was to end
	}
	cancel()
	bar.Done()
	if err != nil || path == "-" {
		return err
	}
	if env.JSON {
		return env.PrintJSON(map[string]any{"file": path, "seconds": time.Since(began).Seconds(), "bytes": out.n})
	}
	_, err = fmt.Fprintf(env.Out, "%s: %d bytes in %s; look at it with: anole tcprt replay %s\n", path, out.n, term.Duration(time.Since(began)), path)
	return err
}

// askForEnd asks the agent to send what is left and to end; one that does not is left.
func askForEnd(ctx context.Context, env *core.Env, id string, leave func()) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := env.Send(ctx, http.MethodDelete, "tcprt/record", url.Values{"id": {id}}, nil)
	if err != nil {
		leave()
		return
	}
	_ = body.Close()
	<-ctx.Done() // it ends before, unless the agent hangs
	leave()
}

// recordAlone measures in this process.
func recordAlone(ctx context.Context, c *tcprt.Collector, w io.Writer) error {
	offset, err := tcprt.ClockOffset()
	if err != nil {
		return err
	}
	out, err := trt.NewWriter(w, trt.Header{Created: time.Now().UTC(), Tier: c.Tier().String(), Offset: offset})
	if err != nil {
		return err
	}
	var failed error
	add := func(r *tcprt.Record) {
		if failed == nil {
			failed = out.Add(r)
		}
	}
	lost := func() error {
		if s, err := c.Stats(); err == nil { // else it is told with the next
			return out.Lost(s.Dropped)
		}
		return nil
	}
	for ctx.Err() == nil && err == nil && failed == nil {
		err = c.Drain(flushEvery, add)
		failed = cmp.Or(failed, lost(), out.Flush())
	}
	if err == nil {
		err = c.Drain(0, add)
	}
	if err == nil {
		err = c.Settle(0, add) // those that ended, but for the next to come
	}
	// What could not be written stays with the writer.
	return cmp.Or(failed, errors.Join(err, lost(), out.Close()))
}
