package blkio

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree lays out a fixture: "path: content" is a file, "path -> target" a link.
func tree(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".tree"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		path, target, link := strings.Cut(line, " -> ")
		path, content, _ := strings.Cut(path, ": ")
		at := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if link {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(content+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// taken gives "name by" of each disk that is taken.
func taken(t *testing.T, root string, patterns ...string) string {
	t.Helper()
	all, err := Disks(root)
	if err != nil {
		t.Fatal(err)
	}
	for i := range patterns {
		patterns[i] = Resolve(root, patterns[i])
	}
	var out []string
	for _, d := range Take(all, patterns) {
		out = append(out, fmt.Sprint(d.Name, " ", d.By))
	}
	return strings.Join(out, ", ")
}

func TestTakesWholeDisks(t *testing.T) {
	root := tree(t, "stacked")
	for _, c := range []struct {
		why      string
		patterns []string
		want     string
	}{
		{"stacked disks are held at what they are made of, but RAID 5", nil, "md1 -1, nvme0n1 -1, sda -1, sdb -1, sdc -1"},
		{"a virtual disk is taken by name, one without a medium never", []string{"loop*"}, "loop1 0, md1 -1, nvme0n1 -1, sda -1, sdb -1, sdc -1"},
		{"a volume stands for the disk below it", []string{"/dev/mapper/vg-data"}, "md1 -1, nvme0n1 0, sda -1, sdb -1, sdc -1"},
		{"a mirror stands for its members", []string{"md0"}, "md1 -1, nvme0n1 -1, sda 0, sdb 0, sdc -1"},
		{"RAID 5 is itself", []string{"md1"}, "md1 0, nvme0n1 -1, sda -1, sdb -1, sdc -1"},
		{"a partition stands for its disk", []string{"/dev/sda2"}, "md1 -1, nvme0n1 -1, sda 0, sdb -1, sdc -1"},
		{"a number, a pattern, the first that matches", []string{"8:16", "sd*"}, "md1 -1, nvme0n1 -1, sda 1, sdb 0, sdc 1"},
		{"nonsense is about nothing", []string{"xvda", "mapper/none", "9999:1"}, "md1 -1, nvme0n1 -1, sda -1, sdb -1, sdc -1"},
	} {
		if got := taken(t, root, c.patterns...); got != c.want {
			t.Errorf("%s: %v takes %q, want %q", c.why, c.patterns, got, c.want)
		}
	}
}

func TestMultipath(t *testing.T) {
	root := tree(t, "multipath")
	if got, want := taken(t, root, "/dev/mapper/mpatha"), "nvme0n1 -1, sda 0, sdb 0"; got != want {
		t.Errorf("takes %q, want %q", got, want)
	}
	all, err := Disks(root)
	if err != nil {
		t.Fatal(err)
	}
	v2 := Kernel{Unified: true, Cost: true, Throttle: true, Weights: true}
	for _, d := range Take(all, nil) {
		m, why, err := Choose(v2, &d.Disk, "auto")
		if err != nil {
			t.Error(err)
		}
		want := Cost
		if d.Name == "nvme0n1" { // the head of the paths has no request queue
			want = Max
		}
		if m != want || why == "" {
			t.Errorf("%s: %q because %q, want %q", d.Name, m, why, want)
		}
	}
}

func TestDisksOfANodeWithout(t *testing.T) {
	all, err := Disks(t.TempDir())
	if err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestDisksThatDisappear(t *testing.T) {
	root := tree(t, "stacked")
	if err := os.RemoveAll(root + "/sys/devices/ata/sda"); err != nil { // its link in /sys/block dangles
		t.Fatal(err)
	}
	if got, want := taken(t, root), "md1 -1, nvme0n1 -1, sdb -1, sdc -1"; got != want {
		t.Errorf("takes %q, want %q", got, want)
	}
}

func FuzzSchedulers(f *testing.F) {
	f.Add("[none] mq-deadline kyber bfq")
	f.Add("none")
	f.Add("[[x] ]")
	f.Fuzz(func(t *testing.T, s string) {
		in, all := Schedulers(s)
		if in != "" && len(all) == 0 {
			t.Errorf("%q in use, none to choose", in)
		}
	})
}
