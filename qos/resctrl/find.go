package resctrl

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

const featureName = "resctrl"

// Mount is where the file system is mounted, and how.
type Mount struct {
	Dir     string
	Options []string
}

// Find looks for the file system on the node whose /proc is below root. On a
// node without it the error is a *feature.UnsupportedError that tells apart what
// the machine, the kernel and the administrator lack.
func Find(root string) (Mount, error) {
	f, err := os.Open(filepath.Join(root, "/proc/self/mountinfo"))
	if err != nil {
		return Mount{}, fmt.Errorf("read mount table: %w", err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if m, ok := parseMount(sc.Text()); ok {
			m.Dir = filepath.Join(root, m.Dir)
			return m, nil
		}
	}
	if err := sc.Err(); err != nil {
		return Mount{}, fmt.Errorf("read mount table: %w", err)
	}
	return Mount{}, absent(root)
}

// parseMount reads a line of /proc/self/mountinfo, proc_pid_mountinfo(5), and
// says whether it is of this file system.
func parseMount(line string) (m Mount, ok bool) {
	head, tail, ok := strings.Cut(line, " - ")
	front, back := strings.Fields(head), strings.Fields(tail)
	if !ok || len(front) < 6 || len(back) < 3 || back[0] != "resctrl" || front[3] != "/" {
		return m, false
	}
	return Mount{Dir: unescape(front[4]), Options: append(strings.Split(front[5], ","), strings.Split(back[2], ",")...)}, true
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// absent says why no file system is mounted.
func absent(root string) error {
	no := func(r feature.Reason, need, fix string, err error) error {
		return &feature.UnsupportedError{Feature: featureName, Reason: r, Need: need, Fix: fix, Err: err}
	}
	known, err := os.ReadFile(filepath.Join(root, "/proc/filesystems"))
	if err != nil {
		return fmt.Errorf("read known file systems: %w", err)
	}
	if slices.Contains(strings.Fields(string(known)), "resctrl") {
		return no(feature.NoKernel, "the resctrl file system mounted", "mount -t resctrl resctrl /sys/fs/resctrl, and anew after each boot", nil)
	}
	cpu, err := os.ReadFile(filepath.Join(root, "/proc/cpuinfo"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read CPU flags: %w", err)
	}
	if flag := firstFlag(string(cpu)); flag != "" {
		return no(feature.NoKernel, "a kernel with CONFIG_X86_CPU_RESCTRL (the CPU has "+flag+")", "boot one that has it, without rdt= that switches it off", nil)
	}
	return no(feature.NoHardware, "a CPU that can share out its cache (Intel RDT, AMD PQoS, Arm MPAM), shown by the hypervisor if there is one",
		"none on this machine: a bare-metal node of such a CPU has it", nil)
}

// firstFlag gives the first flag of /proc/cpuinfo that stands for a feature of
// resctrl.
func firstFlag(cpuinfo string) string {
	known := []string{"rdt_a", "cat_l3", "cat_l2", "mba", "cqm_llc", "cqm_mbm_total"}
	for line := range strings.Lines(cpuinfo) {
		key, flags, _ := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); key != "flags" {
			continue
		}
		for _, f := range strings.Fields(flags) {
			if slices.Contains(known, f) {
				return f
			}
		}
		return ""
	}
	return ""
}

// UnitOf says what the node counts memory bandwidth in: MiB a second if it is
// mounted so, eighths of a GB a second on AMD's CPUs, percent on all others.
func UnitOf(root string, m Mount) Unit {
	if slices.Contains(m.Options, "mba_MBps") {
		return MiBps
	}
	b, _ := os.ReadFile(filepath.Join(root, "/proc/cpuinfo"))
	for line := range strings.Lines(string(b)) {
		key, vendor, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "vendor_id" {
			continue
		}
		if v := strings.TrimSpace(vendor); v == "AuthenticAMD" || v == "HygonGenuine" {
			return Eighths
		}
		break
	}
	return Percent
}

// writable says whether this process may make groups.
func writable(dir string) error {
	err := unix.Access(dir, unix.W_OK)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EPERM) {
		return &feature.UnsupportedError{Feature: featureName, Reason: feature.NoPrivilege, Need: "root, and a writable mount", Fix: "run the agent as root; mount -o remount,rw " + dir, Err: err}
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	return nil
}

// Probe says what the node can do, or why nothing.
func Probe(root string) (string, error) {
	f, err := Open(root)
	if err != nil {
		return "", err
	}
	return f.Info.String(), nil
}

// String says in words what there is.
func (i *Info) String() string {
	var out []string
	for _, c := range i.Caches {
		out = append(out, fmt.Sprintf("%s in %d ways, %d groups", c.Name, c.Mask.Ways(), c.Groups))
	}
	for _, b := range i.Bandwidths {
		out = append(out, fmt.Sprintf("%s in steps of %d %s", b.Name, b.Step, b.Unit))
	}
	if m := i.Monitor; m != nil {
		var what []string
		for _, e := range []struct {
			has  bool
			name string
		}{{m.Occupancy, "cache occupancy"}, {m.Total || m.Local, "memory traffic"}} {
			if e.has {
				what = append(what, e.name)
			}
		}
		out = append(out, strings.Join(what, " and ")+" counted")
	}
	return strings.Join(out, "; ")
}
