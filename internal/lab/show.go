package lab

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/anole-os/anole/internal/netlinkx"
)

// Show gives all that the kernel tells of the qdiscs, classes and filters of
// the namespace, but for counters and the numbers of loaded programs; and what
// the tc of iproute2 makes of it, where there is one.
func (s *Space) Show() (out string, err error) {
	err = s.Do(func() error {
		c, err := netlinkx.Open()
		if err != nil {
			return err
		}
		defer c.Close()
		out, err = s.show(c)
		return err
	})
	return out, err
}

func (s *Space) show(c *netlinkx.Conn) (string, error) {
	links, err := c.Links()
	if err != nil {
		return "", err
	}
	tc := iproute2()
	slices.SortFunc(links, func(a, b netlinkx.Link) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintf(&b, "%s\n", l.Name)
		qdiscs, err := c.Qdiscs(l.Index)
		if err != nil {
			return "", err
		}
		clsact := false
		for _, q := range qdiscs {
			fmt.Fprintf(&b, "  qdisc %s parent %x options %x\n", &q, q.Parent, masked(q))
			clsact = clsact || q.Kind == "clsact"
		}
		if err := s.rest(&b, l.Index, clsact); err != nil {
			return "", err
		}
		if tc {
			b.WriteString(tcShows(l.Name, clsact))
		}
	}
	return b.String(), nil
}

// masked leaves out what HTB counts in its options: packets sent past it, at
// the end of struct tc_htb_glob.
func masked(q netlinkx.Qdisc) []byte {
	o := slices.Clone(q.Options)
	if q.Kind == "htb" && len(o) >= 24 {
		clear(o[20:24])
	}
	return o
}

// rest adds classes and filters.
func (s *Space) rest(b *strings.Builder, index int, clsact bool) error {
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	classes, err := s.h.ClassList(l, 0)
	if err != nil {
		return err
	}
	for _, k := range classes {
		k.Attrs().Statistics = nil
		fmt.Fprintf(b, "  class %s %v\n", k.Type(), k)
	}
	parents := []uint32{netlink.HANDLE_ROOT}
	if clsact {
		parents = []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS}
	}
	for _, p := range parents {
		filters, err := s.h.FilterList(l, p)
		if err != nil {
			return err
		}
		for _, f := range filters {
			fmt.Fprintf(b, "  filter %s %v %s\n", f.Type(), f.Attrs(), detail(f))
		}
	}
	return nil
}

// detail is what a filter does.
func detail(f netlink.Filter) string {
	switch f := f.(type) {
	case *netlink.BpfFilter:
		return fmt.Sprintf("%s tag %s direct action %v", f.Name, f.Tag, f.DirectAction)
	case *netlink.U32:
		return fmt.Sprintf("to %x select %+v", f.ClassId, f.Sel)
	}
	return ""
}

func iproute2() bool {
	out, err := exec.Command("tc", "-V").Output()
	return err == nil && strings.Contains(string(out), "iproute2")
}

// tcShows is the output of tc.
func tcShows(name string, clsact bool) string {
	var b strings.Builder
	run := func(args ...string) {
		out, _ := exec.Command("tc", args...).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			line, _, _ = strings.Cut(line, " id ") // of a program, new each time
			line, _, _ = strings.Cut(line, " direct_packets_stat")
			fmt.Fprintf(&b, "  tc %s\n", strings.TrimSpace(line))
		}
	}
	run("qdisc", "show", "dev", name)
	run("class", "show", "dev", name)
	run("filter", "show", "dev", name)
	if clsact {
		run("filter", "show", "dev", name, "ingress")
		run("filter", "show", "dev", name, "egress")
	}
	return b.String()
}
