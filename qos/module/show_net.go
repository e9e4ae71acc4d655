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
	fmt.Fprintln(w)
	t := term.NewTable("INTERFACE", "USING", "RATE", "INGRESS", "CLASS", "GUARANTEED", "SENT", "DROPPED", "RECEIVED", "DROPPED")
	for _, l := range all {
		if len(l.Classes) == 0 {
			t.Row(l.Interface, l.Using, "-", "-", "-", "-", "-", "-", "-", l.Why)
		}
		name, using, out, in := l.Interface, l.Using, l.Out.String(), rate(l.In)
		for _, c := range l.Classes {
			t.Row(name, using, out, in, classCell(c.Class), c.Guaranteed.String(), fmt.Sprint(c.Sent), fmt.Sprint(c.SentLost), fmt.Sprint(c.Got), fmt.Sprint(c.GotLost))
			name, using, out, in = "", "", "", ""
		}
	}
	return t.Write(w)
}

func rate(r shape.Rate) string {
	if r == 0 {
		return "off"
	}
	return r.String()
}
