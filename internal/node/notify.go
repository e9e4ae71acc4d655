package node

import (
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notifier speaks systemd's readiness protocol, sd_notify(3): datagrams of
// KEY=VALUE lines to the unix socket that NOTIFY_SOCKET names. Without one it
// does nothing. An error is ignored: a manager that is gone needs no news.
type notifier struct{ addr *net.UnixAddr }

func newNotifier() *notifier {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" || name[0] != '/' && name[0] != '@' {
		return &notifier{}
	}
	return &notifier{addr: &net.UnixAddr{Name: name, Net: "unixgram"}} // "@" is the abstract namespace for package net, too
}

func (n *notifier) send(state string) {
	if n.addr == nil {
		return
	}
	c, err := net.DialUnix("unixgram", nil, n.addr)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}

// reloading announces a reload; sd_notify(3) wants the monotonic clock with it.
func (n *notifier) reloading() {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(ts.Nano()/1000, 10))
}

// watchdog gives the time between two WATCHDOG=1, half of what the manager
// allows, or 0 if it expects none of this process (sd_watchdog_enabled(3)).
func (n *notifier) watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); n.addr == nil || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 1 || usec > int64(time.Hour*24*365/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}
