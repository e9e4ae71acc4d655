package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

const unitFile = "../../deploy/systemd/anole.service"

// TestUnitFileFitsTheAgent holds the unit to what the agent does.
func TestUnitFileFitsTheAgent(t *testing.T) {
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nType=notify", "\nWatchdogSec=", "\nExecReload=/bin/kill -HUP $MAINPID\n", "\nExecStart=/usr/bin/anole up\n", "\nReadWritePaths=/sys/fs/cgroup", "\nRuntimeDirectory=anole\n", "\nRuntimeDirectoryPreserve=yes\n", "\nStateDirectory=anole\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
}

func TestUnitFileIsAcceptedBySystemd(t *testing.T) {
	tool := testkit.NeedTool(t, "systemd-analyze")
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	// verify looks for the programs; the agent is not installed here.
	text := strings.Replace(string(b), "/usr/bin/anole", "/bin/true", 1)
	path := filepath.Join(t.TempDir(), "anole.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "verify", "--man=no", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "anole.service:") {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
