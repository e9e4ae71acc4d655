package module

import (
	"fmt"
	"io"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/shape"
)

// writeNetwork lists the interfaces that the policy names, nothing without.
func writeNetwork(w io.Writer, all []qos.LinkStatus) error {
	if len(all) == 0 {
		return nil
	}
	for _, l := range all {
		if len(l.Classes) == 0 {
			fmt.Fprintf(w, "\n%s %s: %s\n", l.Interface, term.Paint(w, term.Yellow, "is not shared"), term.Clean(l.Why))
			continue
		}
		fmt.Fprintf(w, "\n%s by %s, out %s, in %s\n", l.Interface, l.Using, l.Out, rate(l.In))
		t := term.NewTable("CLASS", "GUARANTEED", "SENT", "DROPPED", "RECEIVED", "DROPPED")
		for _, c := range l.Classes {
			t.Row(classCell(c.Class), c.Guaranteed.String(), mebibytes(c.Sent), fmt.Sprint(c.SentLost), mebibytes(c.Got), fmt.Sprint(c.GotLost))
		}
		if err := t.Write(w); err != nil {
			return err
		}
	}
	return nil
}

func rate(r shape.Rate) string {
	if r == 0 {
		return "off"
	}
	return r.String()
}
