package node

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strings"
)

// stacksOf gives the stacks of the goroutines that belong to a module, in the
// text form of runtime/pprof (debug=1): blocks that begin with a count and
// carry a line of labels.
func stacksOf(module string) string {
	var b bytes.Buffer
	if p := pprof.Lookup("goroutine"); p == nil || p.WriteTo(&b, 1) != nil {
		return ""
	}
	label := fmt.Sprintf("%q:%q", labelKey, module)
	var out []string
	for block := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(block, "# labels: ") || !strings.Contains(block, label) {
			continue
		}
		// The runtime starts these for whoever asks first.
		if strings.Contains(block, "os/signal.loop") {
			continue
		}
		out = append(out, strings.TrimSpace(block))
	}
	return strings.Join(out, "\n\n")
}
