package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/tcprt"
)

// holders share the connections of a scan, as one process may not have so many
// files.
const holders = 2

// asking is of how many connections one waits for an answer.
const asking = 10

// HoldMain is a process that makes connections to an address, asks on one of ten,
// says so, and holds them until its input ends.
func HoldMain(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("hold connections: want an address and a number, got %q", args)
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("hold connections: %w", err)
	}
	conns := make([]net.Conn, 0, n)
	for i := range n {
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			return fmt.Errorf("make connection %d: %w", i, err)
		}
		conns = append(conns, c)
		if i%asking == 0 {
			if _, err := c.Write([]byte("?")); err != nil {
				return fmt.Errorf("ask: %w", err)
			}
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		_ = c.(*net.TCPConn).SetLinger(0) // no time to wait for so many
		_ = c.Close()
	}
	return err
}

// scan times a look at the requests under way. The connections are not accepted: to
// the kernel they are there all the same.
func (b *bencher) scan(ctx context.Context) ([]benchfmt.Result, error) {
	all := b.count(20_000)
	l, err := lab.Open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var ln net.Listener
	err = l.Node.Do(func() (err error) {
		for name, value := range map[string]string{"core/somaxconn": "65535", "ipv4/tcp_max_syn_backlog": "65535"} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
				return err
			}
		}
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		// Package net asks for a backlog once, in another namespace maybe.
		raw, err := ln.(*net.TCPListener).SyscallConn()
		if err != nil {
			return err
		}
		return errors.Join(raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), 65535) }), err)
	})
	if err != nil {
		return nil, fmt.Errorf("listen for many: %w", err)
	}
	defer ln.Close()
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{uint16(ln.Addr().(*net.TCPAddr).Port)}, Roles: []tcprt.Role{tcprt.Server}, Emit: tcprt.EmitNone})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for range holders {
		stop, err := b.hold(ctx, l.Node, ln.Addr().String(), all/holders)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	got, err := b.rounds(ctx, b.Rounds, func() (float64, error) {
		n, began := 0, time.Now()
		err := c.Pending(func(*tcprt.Pending) { n++ })
		took := time.Since(began)
		if err == nil && n != all/asking {
			err = fmt.Errorf("%d requests are under way, want %d", n, all/asking)
		}
		return took.Seconds() * 1000, err
	})
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Single("inflight-scan", "a look at 2,000 requests under way among 20,000 connections", "ms", "<=20", got[0]),
	}, nil
}

func (b *bencher) hold(ctx context.Context, in *lab.Space, addr string, n int) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, b.Hold[0], append(b.Hold[1:len(b.Hold):len(b.Hold)], addr, strconv.Itoa(n))...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	if err := in.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	stop = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		stop()
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	return stop, nil
}
