package sm4

import (
	"os/exec"
	"testing"

	"github.com/anole-os/anole/gm/internal/gentest"
)

func TestGenerated(t *testing.T) {
	gentest.Check(t, 3)
	if out, err := exec.Command("go", "-C", "../_asm", "test", "./...").CombinedOutput(); err != nil {
		t.Errorf("tests of the generators: %v\n%s", err, out)
	}
}
