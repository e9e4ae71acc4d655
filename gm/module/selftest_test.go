package module

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/selftest"
)

func TestSelftest(t *testing.T) {
	out, err := rngRun(t.Context(), "", false, "selftest")
	if err != nil || strings.Contains(out, "failed") || !strings.Contains(out, "SM4-GCM") || !strings.Contains(out, "DRBG start") {
		t.Errorf("%v\n%s", err, out)
	}
	mend := kat.Spoil("SM4-GCM", "generic")
	defer mend()
	out, err = rngRun(t.Context(), "", false, "selftest")
	if core.ExitCode(err) != core.ExitNo || !strings.HasPrefix(err.Error(), "1 of ") || !strings.Contains(out, "failed: the answer is not the known one") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = rngRun(t.Context(), "", true, "selftest")
	var r selftest.Report
	if core.ExitCode(err) != core.ExitNo || json.Unmarshal([]byte(out), &r) != nil || r.State != selftest.Failed {
		t.Errorf("%v\n%s", err, out)
	}
	mend()
	out, err = rngRun(t.Context(), "", true, "selftest")
	if err != nil || !strings.Contains(out, `"state": "passed"`) || !strings.Contains(out, `"duration_ns": `) {
		t.Errorf("%v\n%s", err, out)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = rngRun(over, "", false, "selftest"); core.ExitCode(err) != core.ExitFailed {
		t.Error(err)
	}
}

// In the error state every verb ends before it does anything, but for those that tell how
// things are, undo or measure.
func TestErrorState(t *testing.T) {
	sound(t)
	defer kat.Spoil("SM3 Sum", "generic")()
	selftest.Run(t.Context())
	root := New().Command()
	for _, name := range []string{"probe", "revert"} { // as the program adds them
		root.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
	}
	free, asked := map[string]bool{"status": true, "selftest": true, "probe": true, "revert": true, "bench": true}, 0
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			each(sub)
			if sub.PersistentPreRunE != nil || sub.PersistentPreRun != nil || sub.PreRunE != nil {
				t.Errorf("%s has a hook of its own, beside which the room's may not run", sub.CommandPath())
			}
		}
		if !c.Runnable() {
			return
		}
		asked++
		c.SetContext(core.WithEnv(t.Context(), &core.Env{Out: io.Discard, Err: io.Discard}))
		err := root.PersistentPreRunE(c, nil)
		if want := !free[c.Name()] || c.Parent() != root; errors.Is(err, selftest.ErrState) != want || !want && err != nil {
			t.Errorf("%s: %v", c.CommandPath(), err)
		}
	}
	each(root)
	if asked < 40 {
		t.Errorf("%d verbs", asked)
	}
	// The program of another name does not go by the room's command.
	if code := core.ExitCode(sm3sum([]string{"--version"})); code != core.ExitFailed {
		t.Errorf("sm3sum: code %d", code)
	}
}
