package qos

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/test/fault/groups"
)

// Two agents with state directories of their own would undo each other's writes
// for ever: the second does not start, and says who is in its way.
func TestKernelOneEngineOnANode(t *testing.T) {
	n := groups.Open(t)
	r := openRig(t, n, testPolicy(n), nil)
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	second := func() error {
		e, err := Open(Options{Journal: j})
		if err == nil {
			err = e.Close()
		}
		return err
	}
	var u *feature.UnsupportedError
	if err := second(); !errors.As(err, &u) || u.Reason != feature.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", os.Getpid())) {
		t.Errorf("the second engine: %v", err)
	}
	r.close()
	if err := second(); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}
