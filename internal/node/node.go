// Package node is the agent: it reads the configuration, keeps the journal,
// and leads the modules through their lives.
//
// The laws of life, each with a test in this package: modules start in the
// order of Needs and After and stop in reverse; a failed Start stops all
// before it; a reload touches only what changed and rolls back as a whole; a
// Stop that takes longer than five seconds is reported with the stacks of the
// goroutines that hold it up, and the stop goes on; what a killed agent left on
// the node is put back before the next one starts anything.
//
// One goroutine, the main loop, calls into modules' life cycle. Lock order:
// Node.mu is a leaf; no method of a module is called while it is held.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/journal"
)

// Options configures a Node.
type Options struct {
	Registry *core.Registry // nil means core.Default
	// Config is the path of the main configuration file; files in conf.d
	// beside it are laid over it. If Required is false, a missing main file
	// means defaults.
	Config   string
	Required bool
	Listen   string // overrides agent.console.listen
	Root     string // as in core.Host
	StateDir string // must be set
	RunDir   string // must be set
	Socket   string // overrides agent.api.socket, whose default is RunDir/anole.sock
	Version  string
	Undo     journal.Undo // puts journal entries back
	// Claim makes this the node's only agent, whatever its state directory; nil
	// claims nothing. It is closed before the journal is.
	Claim func() (io.Closer, error)
	// Web makes the console's files from the panels of the running modules;
	// nil means a console that serves the API alone.
	Web func([]core.Panel) http.Handler
	Log io.Writer // log lines go here; nil means standard error

	// StopTimeout bounds one module's Stop; default 5 s.
	StopTimeout time.Duration
	// Debounce is how long the configuration directory must be quiet before a
	// change of a file is taken up; default 300 ms.
	Debounce time.Duration
}

// Defaults of the agent's paths.
const (
	DefaultConfig   = "/etc/anole/anole.yaml"
	DefaultStateDir = "/var/lib/anole"
	DefaultRunDir   = "/run/anole"
	SocketName      = "anole.sock"
)

const (
	stopTimeout  = 5 * time.Second
	debounce     = 300 * time.Millisecond
	retryConsole = 10 * time.Second
)

func (o Options) complete() Options {
	if o.Registry == nil {
		o.Registry = core.Default
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = stopTimeout
	}
	if o.Debounce == 0 {
		o.Debounce = debounce
	}
	return o
}

// Node is the agent. Make it with New and run it once.
type Node struct {
	opt     Options
	log     *slog.Logger
	logs    *logSwitch
	started time.Time

	ctl   chan request
	hups  chan struct{}
	stop  context.CancelFunc
	ready chan struct{}
	done  chan struct{} // closed when the main loop ended

	journal  *journal.Journal
	claim    io.Closer
	registry *prometheus.Registry
	server   *api.Server
	socket   *api.Serving
	console  console
	history  history
	notify   *notifier
	probing  probing

	mu       sync.Mutex
	cfg      *Config
	set      *set
	status   api.ConfigStatus
	readyIn  time.Duration
	problems []string // that last until the agent ends
	probed   []feature.Result
	stopping bool
}

// New makes a node that Run will bring up.
func New(opt Options) *Node {
	n := &Node{
		opt:     opt.complete(),
		started: time.Now(),
		ctl:     make(chan request),
		hups:    make(chan struct{}, 1),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		set:     &set{},
		notify:  newNotifier(),
	}
	n.logs = newLogSwitch(n.opt.Log)
	n.log = slog.New(n.logs)
	n.status = api.ConfigStatus{File: n.opt.Config, Files: []string{}, Reloads: map[string]int{}}
	n.stop = func() {}
	return n
}

// Ready is closed when all modules have started and the API answers.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Hangup asks for a reload without waiting for it, as SIGHUP does.
func (n *Node) Hangup() {
	select {
	case n.hups <- struct{}{}:
	default: // one is pending, and it will read the newest files
	}
}

// Run brings the agent up and blocks until ctx ends or the API says stop; it
// then stops the modules, restores the node and returns. The error is nil
// after a clean stop. Another agent on the node is a *journal.LockedError.
func (n *Node) Run(ctx context.Context) error {
	ctx, n.stop = context.WithCancel(ctx)
	defer n.stop()
	// From before the files are read, so that no change goes unseen.
	w := watchConfig(n.opt.Config, n.opt.Debounce, n.log)
	defer w.close()
	if err := n.open(); err != nil {
		return err
	}
	err := n.up(ctx)
	if err == nil {
		err = n.loop(ctx, w)
	}
	return errors.Join(err, n.down())
}

// open reads the configuration, takes the lock and restores what a dead run
// left. It leaves nothing behind on error.
func (n *Node) open() error {
	infos, err := n.opt.Registry.Ordered()
	if err != nil {
		return err
	}
	cfg, err := LoadConfig(n.opt.Config, n.opt.Required, infos)
	if err != nil {
		return core.Exit(core.ExitUsage, err)
	}
	n.logs.set(cfg.Agent.Log)
	n.opt.Socket = cmp.Or(n.opt.Socket, cfg.Agent.API.Socket, filepath.Join(n.opt.RunDir, SocketName))
	if n.opt.StateDir == "" || n.opt.RunDir == "" || n.opt.Undo == nil {
		return errors.New("start agent: state directory, run directory and Undo must be given")
	}
	for _, dir := range []string{n.opt.StateDir, n.opt.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make agent directory: %w", err)
		}
	}
	j, err := journal.Open(JournalDir(n.opt.StateDir))
	if err != nil {
		return err
	}
	// Before anything is put back: another agent may hold the same files.
	if n.claim, err = n.opt.claim(); err != nil {
		return errors.Join(err, j.Close())
	}
	n.journal = j
	n.accept(cfg)
	n.restore("put back what an earlier run left")
	return nil
}

// claim is Options.Claim; never nil without an error.
func (o *Options) claim() (io.Closer, error) {
	if o.Claim == nil {
		return io.NopCloser(nil), nil
	}
	return o.Claim()
}

// JournalDir is where the agent with this state directory keeps its journal.
func JournalDir(stateDir string) string { return filepath.Join(stateDir, "journal") }

// restore undoes all that the journal holds.
func (n *Node) restore(msg string) journal.Report {
	if len(n.journal.Pending()) == 0 {
		return journal.Report{}
	}
	rep := n.journal.Restore(context.Background(), n.opt.Undo)
	if rep.Restored+rep.Gone > 0 {
		n.log.Info(msg, "restored", rep.Restored, "gone", rep.Gone)
	}
	for _, err := range rep.Failed {
		n.log.Error("a change could not be put back", "error", err)
		n.problem(err.Error())
	}
	return rep
}

func (n *Node) problem(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.problems = append(n.problems, text)
}

// accept makes cfg the configuration in force.
func (n *Node) accept(cfg *Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cfg = cfg
	n.status.Files = cfg.Files
	n.status.Generation++
	n.status.Loaded = time.Now()
	n.status.Error = ""
}

// up starts the modules and opens the agent's doors.
func (n *Node) up(ctx context.Context) error {
	infos, err := n.opt.Registry.Ordered()
	if err != nil {
		return err
	}
	next, err := n.builder().build(infos, n.cfg)
	if err != nil {
		return core.Exit(core.ExitUsage, err)
	}
	ln, err := api.ListenUnix(n.opt.Socket)
	if err != nil {
		return err
	}
	if err := next.start(ctx); err != nil {
		_ = ln.Close()
		return err
	}
	n.mu.Lock()
	n.set = next
	n.mu.Unlock()
	n.registry = api.NewRegistry(n, n.opt.Version, n.cfg.Agent.Metrics.Runtime, n.log)
	n.history.open(n)
	n.server = api.New(api.Options{Agent: n, Gatherer: n.registry, History: n.history.handler(), Log: n.log})
	n.setWeb()
	n.socket = api.Serve(ln, n.server.Socket(), n.log)
	n.console.open(n, n.consoleConfig())
	n.announce()
	return nil
}

// announce tells everyone that the agent is ready.
func (n *Node) announce() {
	d := sinceExec(n.started)
	n.mu.Lock()
	n.readyIn = d
	units := len(n.set.units)
	n.mu.Unlock()
	n.log.Info("ready", "ready_ms", d.Milliseconds(), "modules", units, "socket", n.opt.Socket,
		"console", n.console.status().Address, "config", n.opt.Config, "version", n.opt.Version)
	n.notify.send("READY=1\nSTATUS=" + n.summary())
	close(n.ready)
	n.probe()
}

// down stops everything in the reverse order of up.
func (n *Node) down() error {
	n.mu.Lock()
	n.stopping = true
	set := n.set
	n.mu.Unlock()
	n.notify.send("STOPPING=1")
	n.probing.close()
	n.console.close()
	stopErr := errors.Join(set.stop(), n.endProbes())
	rep := n.restore("put back the rest")
	if n.socket != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		n.socket.Close(ctx)
		cancel()
	}
	n.history.close()
	err := errors.Join(append([]error{stopErr}, rep.Failed...)...)
	if n.journal != nil {
		err = errors.Join(err, n.claim.Close(), n.journal.Close())
	}
	if n.socket != nil { // it had come up
		n.log.Info("stopped")
	}
	return err
}
