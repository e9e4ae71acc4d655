package e2e

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/shape"
)

// inNamespace puts the test's goroutine, and what it starts, into a network of
// its own.
func inNamespace(t *testing.T) *lab.Space {
	t.Helper()
	testkit.NeedRoot(t)
	l, err := lab.Open()
	if errors.Is(err, unix.EPERM) {
		err = &feature.UnsupportedError{Feature: "network namespaces", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err}
	}
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	testkit.Need(t, shape.Supports(shape.HTB))
	leave, err := l.Node.Enter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leave(); err != nil {
			t.Error(err)
		}
	})
	return l.Node
}

func show(t *testing.T, s *lab.Space) string {
	t.Helper()
	out, err := s.Show()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNetworkKillThenRevert(t *testing.T) {
	at := inNamespace(t)
	was := show(t, at)
	n := newNode(t, quiet+"qos:\n  net: {use: htb, interfaces: {up0: {rate: 100Mbit}}}\n")
	shared := func() bool {
		var s qos.Status
		n.decode(&s, "qos", "status")
		return len(s.Network) == 1 && s.Network[0].Using == "htb"
	}
	n.start()
	n.await("the interface to be shared", shared)
	with := show(t, at)
	if with == was {
		t.Fatal("nothing was done")
	}
	n.kill()
	if is := show(t, at); is != with {
		t.Errorf("a killed agent's interface is\n%s\nit was\n%s", is, with)
	}
	n.start()
	n.await("the interface to be shared again", shared)
	if out := n.ok("qos", "status"); !strings.Contains(out, "up0") || !strings.Contains(out, "HTB + cls_bpf") {
		t.Errorf("status:\n%s", out)
	}
	n.kill()
	n.ok("revert")
	if is := show(t, at); is != was {
		t.Errorf("after revert there is\n%s\nbefore there was\n%s", is, was)
	}
	n.start()
	n.await("the interface to be shared once more", shared)
	n.stop()
	if is := show(t, at); is != was {
		t.Errorf("after a stop there is\n%s\nbefore there was\n%s", is, was)
	}
}
