package lanes

import (
	"testing"

	"github.com/anole-os/anole/gm/internal/gentest"
)

func TestGenerated(t *testing.T) { gentest.Check(t, 2) }
