package node

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
)

// manager plays the service manager on a datagram socket.
type manager struct {
	t *testing.T
	c *net.UnixConn
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &manager{t, c}
}

// wait reads until a message begins with want.
func (m *manager) wait(want string) string {
	m.t.Helper()
	_ = m.c.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	for {
		n, err := m.c.Read(buf)
		if err != nil {
			m.t.Fatalf("no %s: %v", want, err)
		}
		if strings.HasPrefix(string(buf[:n]), want) {
			return string(buf[:n])
		}
	}
}

func TestNotifiesTheServiceManager(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(testkit.SocketDir(t), "notify"),
		"abstract": "@anole-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t, socket)
			t.Setenv("WATCHDOG_USEC", "20000")
			t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
			a := unwatched(t, registry(t, plain(&trace{}, "a")), quiet)
			if got := m.wait("READY=1"); got != "READY=1\nSTATUS=1 modules running" {
				t.Errorf("sent %q", got)
			}
			m.wait("WATCHDOG=1")
			m.wait("WATCHDOG=1")
			if err := reload(t, a, quiet+"a: {value: 1}\n"); err != nil {
				t.Fatal(err)
			}
			if got := m.wait("RELOADING=1"); !strings.Contains(got, "\nMONOTONIC_USEC=") {
				t.Errorf("sent %q", got)
			}
			m.wait("READY=1")
			if err := a.finish(); err != nil {
				t.Fatal(err)
			}
			m.wait("STOPPING=1")
		})
	}
}

func TestWatchdogIsFedForThisProcessOnly(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/none")
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{{"30000000", "", 15 * time.Second}, {"30000000", strconv.Itoa(os.Getpid()), 15 * time.Second}, {"30000000", "1", 0}, {"", "", 0}, {"-5", "", 0}, {"many", "", 0}, {"99999999999999999999", "", 0}} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := newNotifier().watchdog(); got != c.want {
			t.Errorf("WATCHDOG_USEC=%s WATCHDOG_PID=%s: %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	newNotifier().send("READY=1") // nobody listens, nothing happens
}
