package qos

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/anole-os/anole/qos/shape"
)

// NetPolicy says how network interfaces are shared between the classes.
type NetPolicy struct {
	Use        string                  `yaml:"use" json:"use" doc:"auto takes the first that the kernel has of edt (a time of departure for each packet, kept by fq) and htb; or one of these, or off."`
	LS         float64                 `yaml:"ls" json:"ls" doc:"Share of an interface's rate that LS work is guaranteed."`
	BE         float64                 `yaml:"be" json:"be" doc:"Share that best-effort work is guaranteed. The rest of the node has what both leave of 1; each class may take what the others do not use."`
	Interfaces map[string]NetInterface `yaml:"interfaces" json:"interfaces" doc:"Interfaces to share, by name: those that lead out of the node, as {eth0: {rate: 10Gbit}}. All others are left alone."`
}

// NetInterface are the settings of one interface; what is absent is the
// section's own.
type NetInterface struct {
	Rate    shape.Rate `yaml:"rate,omitempty" json:"rate,omitempty" doc:"What it can send, such as 500Mbit or 10Gbit; the speed that the kernel tells when absent."`
	Ingress string     `yaml:"ingress,omitempty" json:"ingress,omitempty" doc:"What it can receive; the same as rate when absent. off leaves incoming packets alone."`
	LS      *float64   `yaml:"ls,omitempty" json:"ls,omitempty" doc:"As ls above."`
	BE      *float64   `yaml:"be,omitempty" json:"be,omitempty" doc:"As be above."`
	Replace bool       `yaml:"replace,omitempty" json:"replace,omitempty" doc:"Replace a queueing discipline that somebody chose for it; only one without classes, which is put back in the end."`
}

func defaultNet() NetPolicy {
	return NetPolicy{Use: "auto", LS: 0.7, BE: 0.1, Interfaces: map[string]NetInterface{}}
}

// on says whether any interface is to be shared.
func (p *NetPolicy) on() bool { return p.Use != "off" && len(p.Interfaces) > 0 }

// names lists the interfaces in order.
func (p *NetPolicy) names() []string { return slices.Sorted(maps.Keys(p.Interfaces)) }

// link gives an interface as shape takes it; speed is what the kernel tells, 0
// if nothing.
func (p *NetPolicy) link(name string, speed shape.Rate) shape.Link {
	x := p.Interfaces[name]
	l := shape.Link{Name: name, Out: x.Rate, LS: p.LS, BE: p.BE, Replace: x.Replace}
	if l.Out == 0 {
		l.Out = speed
	}
	if x.LS != nil {
		l.LS = *x.LS
	}
	if x.BE != nil {
		l.BE = *x.BE
	}
	switch x.Ingress {
	case "off":
	case "":
		l.In = l.Out
	default:
		l.In, _ = shape.ParseRate(x.Ingress) // validated
	}
	return l
}

// maxLinks is how many interfaces shape takes.
const maxLinks = 16

// validate names each mistake with its key.
func (p *NetPolicy) validate(say func(format string, a ...any), oneOf func(key, v string, of ...string)) {
	oneOf("net.use", p.Use, "auto", string(shape.EDT), string(shape.HTB), "off")
	shares := func(key string, ls, be float64) {
		if math.IsNaN(ls) || math.IsNaN(be) || ls < 0.01 || be < 0.01 || ls+be > 0.99+1e-9 {
			say("%s: ls %v and be %v are not shares of at least 0.01 that leave 0.01 to the rest", key, ls, be)
		}
	}
	shares("net.ls", p.LS, p.BE)
	if len(p.Interfaces) > maxLinks {
		say("net.interfaces: %d are more than %d", len(p.Interfaces), maxLinks)
	}
	for _, name := range p.names() {
		x, key := p.Interfaces[name], "net.interfaces."+name
		if err := interfaceName(name); err != nil {
			say("%s: %v", key, err)
		}
		if _, err := shape.ParseRate(x.Ingress); err != nil && x.Ingress != "" && x.Ingress != "off" {
			say("%s.ingress: %v, or off", key, err)
		}
		l := p.link(name, 1e9)
		shares(key+".ls", l.LS, l.BE)
	}
}

// interfaceName checks a name as dev_valid_name in net/core/dev.c does: it is
// part of a path below /sys.
func interfaceName(s string) error {
	bad := s == "" || s == "." || s == ".." || len(s) > 15
	for _, r := range s {
		bad = bad || r == '/' || r == ':' || r <= ' '
	}
	if bad {
		return fmt.Errorf("%q is no name of an interface", s)
	}
	return nil
}
