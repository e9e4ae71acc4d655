package module

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

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
