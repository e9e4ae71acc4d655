package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// SocketInUseError says that somebody answers on the socket already.
type SocketInUseError struct{ Path string }

func (e *SocketInUseError) Error() string {
	return fmt.Sprintf("listen on %s: another agent answers there; stop that one first", e.Path)
}

// maxSocketPath is sun_path less its terminating zero (unix(7)).
const maxSocketPath = 107

// ListenUnix listens on path with mode 0600, making its directory (0700) if
// needed. A socket on which nobody answers is removed; a live one is a
// *SocketInUseError. Closing the listener removes the socket.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath-len(".new") {
		return nil, fmt.Errorf("listen on %s: the path is longer than a unix socket may have", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make socket directory: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Bound under another name and renamed, the socket is never there with
	// the umask's mode.
	tmp := path + ".new"
	_ = os.Remove(tmp)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(tmp, 0o600); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = ln.Close()
		_ = os.Remove(tmp)
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &unixListener{UnixListener: ln, path: path}, nil
}

type unixListener struct {
	*net.UnixListener
	path string
}

func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if err == nil {
		_ = os.Remove(l.path)
	}
	return err
}

func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %s: a file that is not a socket is in the way", path)
	}
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return &SocketInUseError{Path: path}
	case errors.Is(err, unix.ECONNREFUSED):
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove stale socket: %w", err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("look who answers on %s: %w", path, err)
}

// Serving is a server at work on one listener.
type Serving struct {
	srv    *http.Server
	ln     net.Listener
	cancel context.CancelFunc
	done   chan struct{}
}

// Serve serves h on ln until Close. Requests' contexts end when Close begins,
// so that handlers which stream notice.
func Serve(ln net.Listener, h http.Handler, log *slog.Logger) *Serving {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Serving{ln: ln, cancel: cancel, done: make(chan struct{}), srv: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	go func() {
		defer close(s.done)
		_ = s.srv.Serve(ln)
	}()
	return s
}

// Addr is where it listens.
func (s *Serving) Addr() net.Addr { return s.ln.Addr() }

// Close lets requests in progress finish until ctx ends, then cuts them off.
func (s *Serving) Close(ctx context.Context) {
	// Streams end first: Shutdown would wait for them.
	time.AfterFunc(200*time.Millisecond, s.cancel)
	if s.srv.Shutdown(ctx) != nil {
		_ = s.srv.Close()
	}
	s.cancel()
	<-s.done
}
