// Package resctrlfs is a stand-in for the kernel's resctrl file system, for
// tests on machines that have none: a FUSE file system that holds writers to the
// kernel's rules. It refuses what fs/resctrl refuses, with the same error number
// and the same words in info/last_cmd_status, moves the tasks of a removed group
// to the one above, and knows real threads: one that does not exist is ESRCH.
// What it cannot do is share out a cache. Counters are set by the test.
//
// Rules: Documentation/filesystems/resctrl.rst, and cbm_validate, bw_validate,
// rdtgroup_schemata_write, rdtgroup_mkdir and rdtgroup_tasks_write in fs/resctrl
// of Linux 6.18.
package resctrlfs

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Machine is the hardware that is stood in for.
type Machine struct {
	Caches  []Cache
	MB      *MB
	Domains []int // ids of the caches, and of what they are next to
	Closids int
	Rmids   int // 0 is no monitoring
	// Vendor and Options are for /proc/cpuinfo and the mount table.
	Vendor  string
	Options string
}

// Cache is one cache resource.
type Cache struct {
	Name      string
	Ways      int
	Min       int
	Sparse    bool
	Shareable uint64
}

// MB is the memory bandwidth.
type MB struct{ Min, Gran, Max uint64 }

// Skylake is a server of two sockets with CAT, MBA, CMT and MBM.
func Skylake() Machine {
	return Machine{
		Caches: []Cache{{Name: "L3", Ways: 11, Min: 1, Shareable: 0x600}}, MB: &MB{10, 10, 100},
		Domains: []int{0, 1}, Closids: 8, Rmids: 88, Vendor: "GenuineIntel",
	}
}

// SkylakeCDP is the same, mounted with cdp: half of the groups.
func SkylakeCDP() Machine {
	m := Skylake()
	code, data := m.Caches[0], m.Caches[0]
	code.Name, data.Name = "L3CODE", "L3DATA"
	m.Caches, m.Closids, m.Options = []Cache{code, data}, 4, "cdp"
	return m
}

// Milan is an AMD server with several caches a socket, whose numbers have gaps
// and whose bandwidths are in eighths of a GB/s.
func Milan() Machine {
	return Machine{
		Caches: []Cache{{Name: "L3", Ways: 16, Min: 1, Sparse: true}}, MB: &MB{0, 1, 2048},
		Domains: []int{0, 1, 2, 8}, Closids: 16, Rmids: 256, Vendor: "AuthenticAMD",
	}
}

// resources lists the schemata's lines.
func (m *Machine) resources() []string {
	var out []string
	for _, c := range m.Caches {
		out = append(out, c.Name)
	}
	if m.MB != nil {
		out = append(out, "MB")
	}
	return out
}

func (m *Machine) cache(name string) *Cache {
	i := slices.IndexFunc(m.Caches, func(c Cache) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &m.Caches[i]
}

func (c *Cache) all() uint64 { return 1<<c.Ways - 1 }

// refusal is an error of the kernel's with what it says of it.
type refusal struct {
	no  syscall.Errno
	say string
}

func refuse(format string, a ...any) *refusal {
	return &refusal{syscall.EINVAL, fmt.Sprintf(format, a...)}
}

// value checks one value of a resource.
func (m *Machine) value(resource, s string) (uint64, *refusal) {
	c := m.cache(resource)
	if c == nil {
		return m.MB.value(s)
	}
	n, err := strconv.ParseUint(s, 16, 64)
	switch {
	case err != nil:
		return 0, refuse("Non-hex character in the mask %s", s)
	case n == 0 && c.Min > 0, n > c.all():
		return 0, refuse("Mask out of range")
	}
	run := n >> bits.TrailingZeros64(n)
	if !c.Sparse && run&(run+1) != 0 {
		return 0, refuse("The mask %x has non-consecutive 1-bits", n)
	}
	if bits.TrailingZeros64(^run) < c.Min {
		return 0, refuse("Need at least %d bits in the mask", c.Min)
	}
	return n, nil
}

func (b *MB) value(s string) (uint64, *refusal) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, refuse("Invalid MB value %s", s)
	}
	if n < b.Min || n > b.Max {
		return 0, refuse("MB value %d out of range [%d,%d]", n, b.Min, b.Max)
	}
	return (n + b.Gran - 1) / b.Gran * b.Gran, nil
}

// config is what one group may use: by resource, by domain.
type config map[string]map[int]uint64

// fresh is what a new group gets: all that nobody has for himself.
func (m *Machine) fresh(taken func(resource string, domain int) uint64) config {
	out := config{}
	for _, r := range m.resources() {
		out[r] = map[int]uint64{}
		for _, d := range m.Domains {
			if c := m.cache(r); c != nil {
				out[r][d] = c.all() &^ taken(r, d)
			} else {
				out[r][d] = m.MB.Max
			}
		}
	}
	return out
}

// show prints a group's schemata as the kernel does, names padded.
func (m *Machine) show(c config) string {
	var b strings.Builder
	width := 0
	for _, r := range m.resources() {
		width = max(width, len(r))
	}
	for _, r := range m.resources() {
		parts := make([]string, len(m.Domains))
		for i, d := range m.Domains {
			if m.cache(r) != nil {
				parts[i] = fmt.Sprintf("%d=%x", d, c[r][d])
			} else {
				parts[i] = fmt.Sprintf("%d=%4d", d, c[r][d])
			}
		}
		fmt.Fprintf(&b, "%*s:%s\n", width, r, strings.Join(parts, ";"))
	}
	return b.String()
}

// parse applies what was written to a schemata file to a copy of c. overlaps
// says whether another group has bits of a mask for itself.
func (m *Machine) parse(c config, s string, overlaps func(resource string, domain int, mask uint64) bool) (config, *refusal) {
	if s == "" || s[len(s)-1] != '\n' {
		return nil, refuse("")
	}
	out := config{}
	for r, v := range c {
		out[r] = map[int]uint64{}
		for d, n := range v {
			out[r][d] = n
		}
	}
	for _, line := range strings.Split(strings.TrimSuffix(s, "\n"), "\n") {
		name, rest, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok {
			return nil, refuse("Missing ':'")
		}
		if rest == "" {
			return nil, refuse("Missing '%s' value", name)
		}
		if !slices.Contains(m.resources(), name) {
			return nil, refuse("Unknown or unsupported resource name '%s'", name)
		}
		seen := map[int]bool{}
		for _, part := range strings.Split(rest, ";") {
			id, value, ok := strings.Cut(part, "=")
			domain, err := strconv.Atoi(id)
			if !ok || err != nil {
				return nil, refuse("Missing '=' or non-numeric domain")
			}
			if !slices.Contains(m.Domains, domain) {
				return nil, refuse("")
			}
			if seen[domain] {
				return nil, refuse("Duplicate domain %d", domain)
			}
			seen[domain] = true
			n, no := m.value(name, strings.TrimSpace(value))
			if no != nil {
				return nil, no
			}
			if m.cache(name) != nil && overlaps(name, domain, n) {
				return nil, refuse("Overlaps with exclusive group")
			}
			out[name][domain] = n
		}
	}
	return out, nil
}
