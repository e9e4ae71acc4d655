package nri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/workload"
)

// DefaultSocket is where runtimes listen for plugins unless told otherwise.
const DefaultSocket = "/var/run/nri/nri.sock"

// Defaults of Options.
const (
	DefaultPatience = 3 * time.Millisecond
	DefaultName     = "anole"
	// DefaultIndex puts the plugin behind those that adjust containers: it does
	// not, and so sees what they did.
	DefaultIndex = "95"
)

// Options configures a Source. The zero value is a plugin called 95-anole at
// DefaultSocket.
type Options struct {
	Socket, Name, Index string
	// Patience is the longest time for which a container's start waits for what
	// workload.Registry.OnStart set; 0 is DefaultPatience. What takes longer is
	// finished beside.
	Patience time.Duration
	// Took, if set, is told how long each call of the runtime took to answer.
	Took func(call string, d time.Duration)
}

// Source is the plugin. It is safe for concurrent use; Run belongs to one
// goroutine at a time.
type Source struct {
	o     Options
	stats counters
}

// New makes a Source. It opens nothing.
func New(o Options) *Source {
	if o.Socket == "" {
		o.Socket = DefaultSocket
	}
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Index == "" {
		o.Index = DefaultIndex
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	return &Source{o: o}
}

// Origin implements workload.Source.
func (s *Source) Origin() workload.Origin { return workload.FromNRI }

// registerFor is how long registering and being configured may take; runtimes
// give it 5 s.
const registerFor = 10 * time.Second

// Run implements workload.Source.
func (s *Source) Run(ctx context.Context, to *workload.Feed) error {
	conn, err := dial(ctx, s.o.Socket)
	if err != nil {
		return err
	}
	c := &session{s: s, to: to, synced: make(chan struct{}), kids: map[string]map[string]bool{}}
	return c.serve(ctx, conn)
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, &feature.UnsupportedError{
			Feature: "NRI", Reason: feature.NoPeer, Need: "containerd 1.7 or CRI-O 1.26, or later, with NRI enabled",
			Fix: "containerd: [plugins.\"io.containerd.nri.v1.nri\"] disable = false in its config.toml (on by default since 2.0)", Err: err,
		}
	case errors.Is(err, fs.ErrPermission):
		return nil, &feature.UnsupportedError{Feature: "NRI", Reason: feature.NoPrivilege, Need: "access to " + socket, Fix: "run the agent as root", Err: err}
	case err != nil:
		return nil, fmt.Errorf("connect to NRI: %w", err)
	}
	return conn, nil
}

// serve registers on the connection and answers calls until it is closed. Both
// directions of calls share the connection.
func (c *session) serve(ctx context.Context, conn net.Conn) error {
	mux := multiplex.Multiplex(conn)
	defer mux.Close() // closes conn
	calls, err := mux.Listen(multiplex.PluginServiceConn)
	if err != nil {
		return fmt.Errorf("listen for the runtime's calls: %w", err)
	}
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(c.timed))
	if err != nil {
		return fmt.Errorf("serve the runtime's calls: %w", err)
	}
	defer server.Close()
	api.RegisterPluginService(server, c)
	out, err := mux.Open(multiplex.RuntimeServiceConn)
	if err != nil {
		return fmt.Errorf("open a connection to the runtime: %w", err)
	}
	closed := make(chan struct{})
	client := ttrpc.NewClient(out, ttrpc.WithOnClose(func() { close(closed) }))
	defer client.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(context.WithoutCancel(ctx), calls)
	}()
	defer func() { _ = server.Close(); _ = mux.Close(); <-served }()
	if err := c.register(ctx, client); err != nil {
		return err
	}
	return c.wait(ctx, closed)
}

func (c *session) register(ctx context.Context, client *ttrpc.Client) error {
	ctx, cancel := context.WithTimeout(ctx, registerFor)
	defer cancel()
	req := &api.RegisterPluginRequest{PluginName: c.s.o.Name, PluginIdx: c.s.o.Index}
	if _, err := api.NewRuntimeClient(client).RegisterPlugin(ctx, req); err != nil {
		return fmt.Errorf("register as an NRI plugin: %w", err)
	}
	return nil
}

// wait returns when the connection or ctx ends, or the runtime does not come to
// tell its containers.
func (c *session) wait(ctx context.Context, closed <-chan struct{}) error {
	late := time.NewTimer(registerFor)
	defer late.Stop()
	synced := c.synced
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return errors.New("the runtime closed the NRI connection")
		case <-synced:
			synced = nil
		case <-late.C:
			if synced != nil {
				return fmt.Errorf("the runtime did not configure the NRI plugin within %v", registerFor)
			}
		}
	}
}
