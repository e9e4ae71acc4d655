package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/api"
)

// console is the TCP listener. The agent works without it; the main loop tries
// again from time to time.
type console struct {
	mu      sync.Mutex
	cfg     ConsoleConfig
	serving *api.Serving
	err     error
}

func (n *Node) consoleConfig() ConsoleConfig { return n.consoleConfigOf(n.cfg) }

func (n *Node) consoleConfigOf(cfg *Config) ConsoleConfig {
	c := cfg.Agent.Console
	if n.opt.Listen != "" {
		c.Enabled, c.Listen = true, n.opt.Listen
	}
	return c
}

// open listens; an error is kept for the status and logged when it changes.
func (c *console) open(n *Node, cfg ConsoleConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg = cfg
	if !cfg.Enabled {
		c.err = nil
		return
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		err = explainListen(n.opt.Root, cfg.Listen, err)
		if c.err == nil || c.err.Error() != err.Error() {
			n.log.Warn("no console, trying again", "every", retryConsole, "error", err)
		}
		c.err = err
		return
	}
	if c.err != nil {
		n.log.Info("console listens", "address", ln.Addr())
	}
	c.err = nil
	if a, ok := ln.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		n.log.Warn("the console is open to the network without a password", "address", a)
	}
	c.serving = api.Serve(ln, n.server.Console(cfg.Names), n.log)
}

func (c *console) retry(n *Node) {
	c.mu.Lock()
	again, cfg := c.err != nil, c.cfg
	c.mu.Unlock()
	if again {
		c.open(n, cfg)
	}
}

func (c *console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.serving.Close(ctx)
	c.serving = nil
}

func (c *console) status() api.ConsoleStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := api.ConsoleStatus{Enabled: c.cfg.Enabled}
	if c.err != nil {
		st.Error = c.err.Error()
	}
	if c.serving != nil {
		st.Address = c.serving.Addr().String()
	}
	return st
}

// explainListen adds who holds the port.
func explainListen(root, addr string, err error) error {
	if !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	_, port, _ := net.SplitHostPort(addr)
	if who := portOwner(root, port); who != "" {
		return fmt.Errorf("listen on %s: the port is taken by %s", addr, who)
	}
	return fmt.Errorf("listen on %s: the port is taken", addr)
}
