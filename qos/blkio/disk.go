package blkio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Disk is a whole block device, as /sys/block shows it.
type Disk struct {
	Name      string // "sda"
	Number    string // major:minor, by which control files know it
	Alias     string // the name in /dev/mapper, "" for all but the device mapper's
	Seq       string // differs when another device takes the name; "" before Linux 5.15
	Size      uint64 // bytes; 0 without a medium
	Multi     bool   // has a request queue (blk-mq); without one there is no io.cost and no scheduler
	Scheduler string // in use, "" without a request queue
	Choice    []string
	Below     []string // names of the disks that it is made of; empty for a real one
	Anonymous bool     // its driver passes IO on without the cgroup that it is of
}

// virtual are the kinds of disk that are taken only by name: what they do ends
// in memory or, on the account of the same cgroup, on another disk (loop, since
// Linux 5.14).
var virtual = []string{"loop", "ram", "zram", "nbd", "sr", "fd"}

// Virtual says whether the disk is taken only when a policy names it.
func (d *Disk) Virtual() bool {
	kind := strings.TrimRight(d.Name, "0123456789")
	return slices.Contains(virtual, kind)
}

// Disks lists the node's disks by name, those without a medium left out, and
// those that only the kernel sees (paths of an NVMe multipath device). root is
// the prefix of /sys. A disk that is unplugged meanwhile is left out.
func Disks(root string) ([]Disk, error) {
	names, err := os.ReadDir(root + "/sys/block")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a machine without any
	}
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var out []Disk
	for _, n := range names {
		d, err := readDisk(root, n.Name())
		if err != nil || d.Size == 0 || d.Number == "" {
			continue
		}
		out = append(out, d)
	}
	return out, nil
}

func readDisk(root, name string) (Disk, error) {
	dir := filepath.Join(root, "/sys/block", name)
	word := func(file string) string {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	d := Disk{Name: name, Number: word("dev"), Alias: word("dm/name"), Seq: word("diskseq")}
	if word("hidden") == "1" {
		return d, fmt.Errorf("disk %s is hidden", name)
	}
	sectors, err := strconv.ParseUint(word("size"), 10, 54)
	if err != nil {
		return d, fmt.Errorf("read size of %s: %w", name, err)
	}
	d.Size = sectors * sectorSize
	_, err = os.Stat(filepath.Join(dir, "mq"))
	d.Multi = err == nil
	if d.Multi {
		d.Scheduler, d.Choice = Schedulers(word("queue/scheduler"))
	}
	d.Below = below(dir)
	// raid5.c makes the requests to its members in a thread of its own.
	d.Anonymous = slices.Contains([]string{"raid4", "raid5", "raid6"}, word("md/level"))
	return d, nil
}

const sectorSize = 512 // of sysfs and diskstats, whatever the disk's own is

// Schedulers reads a queue/scheduler file, "mq-deadline [bfq] none".
func Schedulers(s string) (inUse string, all []string) {
	for _, w := range strings.Fields(s) {
		bare := strings.TrimSuffix(strings.TrimPrefix(w, "["), "]")
		if bare != w {
			inUse = bare
		}
		all = append(all, bare)
	}
	return inUse, all
}

// below lists the disks that a stacked one is made of.
func below(dir string) []string {
	links, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil {
		return nil
	}
	var out []string
	for _, l := range links {
		name := l.Name()
		if up := wholeOf(filepath.Join(dir, "slaves", name)); up != "" {
			name = up
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// wholeOf gives the disk that a partition is on, "" if the device at a sysfs
// path is none.
func wholeOf(at string) string {
	if _, err := os.Stat(filepath.Join(at, "partition")); err != nil {
		return ""
	}
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		return ""
	}
	return filepath.Base(filepath.Dir(real))
}

// Resolve gives the whole disk that a name speaks of: "sda1", "/dev/sda" and
// "/dev/mapper/data" too. Patterns are passed through.
func Resolve(root, name string) string {
	name = strings.TrimPrefix(name, "/dev/")
	if strings.HasPrefix(name, "mapper/") || strings.ContainsAny(name, "*?[:/") {
		return name
	}
	if up := wholeOf(filepath.Join(root, "/sys/class/block", name)); up != "" {
		return up
	}
	return name
}

// matches says whether a resolved name or pattern is about the disk.
func (d *Disk) matches(pattern string) bool {
	if alias, ok := strings.CutPrefix(pattern, "mapper/"); ok {
		return d.Alias != "" && d.Alias == alias
	}
	ok, err := path.Match(pattern, d.Name)
	return pattern == d.Number || err == nil && ok
}

// Taken is a disk that is to be controlled, and the first of the given patterns
// that is about it or about a disk made of it; -1 if none is.
type Taken struct {
	Disk
	By int
}

// Take chooses the disks where best-effort IO is held: real ones, and those
// whose driver hides whose IO it is from what is below. Other stacked disks are
// held at what they are made of, where the kernel knows the cgroup still.
// patterns are as Resolve gives them.
func Take(disks []Disk, patterns []string) []Taken {
	named := map[string]int{}
	for i, p := range patterns {
		for j := range disks {
			if disks[j].matches(p) {
				mark(disks, &disks[j], i, named, 0)
			}
		}
	}
	var out []Taken
	for i := range disks {
		d := &disks[i]
		by, ok := named[d.Name]
		if !ok {
			by = -1
		}
		if len(d.Below) > 0 && !d.Anonymous || d.Virtual() && !ok {
			continue
		}
		out = append(out, Taken{Disk: *d, By: by})
	}
	return out
}

// mark books pattern i for a disk and what it is made of. A name of the disk
// itself goes before one of what is made of it, as patterns come in order and
// the first one stays.
func mark(all []Disk, d *Disk, i int, named map[string]int, depth int) {
	if _, ok := named[d.Name]; !ok {
		named[d.Name] = i
	}
	if d.Anonymous || depth > 8 {
		return
	}
	for _, name := range d.Below {
		for j := range all {
			if all[j].Name == name {
				mark(all, &all[j], i, named, depth+1)
			}
		}
	}
}

// Names lists what /sys/block shows, to tell at little cost whether something
// came or went.
func Names(root string) string {
	names, err := os.ReadDir(root + "/sys/block")
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n.Name())
		b.WriteByte(' ')
	}
	return b.String()
}

// Scheduler gives the IO scheduler that a disk has in use.
func Scheduler(root, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, "/sys/block", name, "queue/scheduler"))
	if err != nil {
		return "", fmt.Errorf("read scheduler of %s: %w", name, err)
	}
	in, _ := Schedulers(string(b))
	return in, nil
}
