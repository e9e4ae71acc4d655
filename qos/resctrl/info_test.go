package resctrl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
)

func open(t *testing.T, tree string) *FS {
	t.Helper()
	f, err := Open(filepath.Join("testdata", tree))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInfoOfEachVendor(t *testing.T) {
	for _, c := range []struct{ tree, want string }{
		{"skylake", "L3 in 11 ways, 16 groups; MB in steps of 10 %; cache occupancy and memory traffic counted"},
		{"skylake-cdp", "L3CODE in 11 ways, 8 groups; L3DATA in 11 ways, 8 groups; MB in steps of 10 %"},
		{"haswell", "L3 in 20 ways, 4 groups; cache occupancy counted"},
		{"mbps", "L3 in 12 ways, 16 groups; MB in steps of 10 MiB/s; cache occupancy and memory traffic counted"},
		{"milan", "L3 in 16 ways, 16 groups; MB in steps of 1 1/8 GB/s; SMBA in steps of 1 1/8 GB/s; cache occupancy and memory traffic counted"},
		{"mpam", "L3 in 16 ways, 32 groups; MB in steps of 2 %; cache occupancy counted"},
		{"apollo-lake", "L2 in 8 ways, 4 groups"},
		{"monitor-only", "cache occupancy and memory traffic counted"},
	} {
		f := open(t, c.tree)
		if got := f.Info.String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.tree, got, c.want)
		}
	}
}

func TestWhatIsMissingIsToldApart(t *testing.T) {
	for _, c := range []struct {
		tree string
		want feature.Reason
		say  string
	}{
		{"not-mounted", feature.NoKernel, "mount -t resctrl"},
		{"no-kernel", feature.NoKernel, "CONFIG_X86_CPU_RESCTRL"},
		{"no-hardware", feature.NoHardware, "Intel RDT"},
	} {
		_, err := Probe(filepath.Join("testdata", c.tree))
		var u *feature.UnsupportedError
		if !errors.As(err, &u) || u.Reason != c.want || u.Fix == "" || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", c.tree, err)
		}
	}
}

// A share of 30 % on each of the trees, as it would be written.
func TestSchemataOfAShare(t *testing.T) {
	for _, c := range []struct {
		tree  string
		share Share
		peak  float64
		want  string
	}{
		{"skylake", Share{0.3, 0.35}, 0, "MB:0=30;1=30\nL3:0=7;1=7\n"},
		{"skylake", Share{0.01, 0.01}, 0, "MB:0=10;1=10\nL3:0=1;1=1\n"},
		{"skylake", Share{1, 1}, 0, "MB:0=100;1=100\nL3:0=7ff;1=7ff\n"},
		{"skylake-cdp", Share{0.3, 1}, 0, "MB:0=100;1=100\nL3DATA:0=7;1=7\nL3CODE:0=7;1=7\n"},
		{"haswell", Share{0.05, 1}, 0, "L3:0=3\n"}, // one way is too few
		{"mbps", Share{0.5, 0.5}, 200 << 20, "MB:0=50;1=50\nL3:0=3f;1=3f\n"},
		{"mbps", Share{0.5, 0.5}, 0, "MB:0=4294967295;1=4294967295\nL3:0=3f;1=3f\n"},
		{"milan", Share{0.25, 0.5}, 160e9, "MB:0=160;1=160;2=160;8=160\nL3:0=f;1=f;2=f;8=f\n"},
		{"milan", Share{1, 1}, 160e9, "MB:0=2048;1=2048;2=2048;8=2048\nL3:0=ffff;1=ffff;2=ffff;8=fff\n"},
		{"milan", Share{0.25, 0.001}, 1e9, "MB:0=1;1=1;2=1;8=1\nL3:0=f;1=f;2=f;8=f\n"}, // 0 would be none at all
		{"mpam", Share{0.3, 0.15}, 0, "MB:1=14;34=14\nL3:1=f;34=f\n"},
		{"apollo-lake", Share{0.5, 0.5}, 0, "L2:0=f;1=f\n"},
	} {
		f := open(t, c.tree)
		fresh, err := f.Default().Schemata()
		if err != nil {
			t.Fatal(err)
		}
		got := f.Info.Schemata(c.share, Layout{Fresh: fresh, Taken: f.Taken(), Peak: c.peak}).String()
		if got != c.want {
			t.Errorf("%s, %+v:\n got %q\nwant %q", c.tree, c.share, got, c.want)
		}
	}
}

func TestMaskRuns(t *testing.T) {
	for _, c := range []struct {
		free Mask
		n    int
		want Mask
	}{
		{0x7ff, 3, 0x7}, {0x7f8, 3, 0x38}, {0xf0f, 5, 0xf}, {0xf1, 2, 0x30}, {0xf0000000, 8, 0xf0000000}, {0xffffffff, 32, 0xffffffff}, {0, 3, 0}, {0b10110111, 3, 0b111},
	} {
		if got := c.free.Run(c.n); got != c.want {
			t.Errorf("%x, %d: %x, want %x", c.free, c.n, got, c.want)
		}
	}
}

func TestReadingOfATree(t *testing.T) {
	f := open(t, "skylake")
	m, err := f.Default().Meter()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := m.Read()
	if err != nil || r.Occupancy != 11747328 || !r.Occupied {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = m.Read(); err != nil || r.Counted || r.Traffic != 0 {
		t.Errorf("one domain is unavailable: %+v, %v", r, err)
	}
}

func TestBadInfoIsNamed(t *testing.T) {
	for file, text := range map[string]string{"cbm_mask": "xyz", "num_closids": "-1", "min_cbm_bits": "99999999999"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/skylake")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "sys/fs/resctrl/info/L3", file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "L3") {
			t.Errorf("%s %q: %v", file, text, err)
		}
	}
}

func FuzzParseSchemata(f *testing.F) {
	for _, s := range []string{"    L3:0=7ff;1=7ff\n    MB:0= 100;1= 100\n", "L3:uninitialized\n", "L3:0=f;0=f", "MB:0=4294967295", ":", "L3:=", "L3CODE:34=ffffffff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSchemata(b)
		if err != nil {
			return
		}
		again, err := ParseSchemata([]byte(s.String()))
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q -> %q -> %q, %v", b, s.String(), again.String(), err)
		}
		if d := s.Diff(again); len(d) > 0 {
			t.Fatalf("%q differs from itself: %v", b, d)
		}
	})
}

func FuzzParseUsage(f *testing.F) {
	for _, s := range []string{"0=XXSSSSSSSSS;1=XXSSSSSSSSS", "8=EEEESSSSSSSSSSSS", "0=PP00HH", "0=?", "=", "0=" + strings.Repeat("E", 33)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseUsage(s)
		if err != nil {
			return
		}
		taken := 0
		for _, mask := range m {
			taken += mask.Ways()
		}
		if n := strings.Count(s, "E") + strings.Count(s, "P"); taken > n {
			t.Fatalf("%q: %d bits are taken, %d flags say so", s, taken, n)
		}
	})
}

// Whatever the cache and the share, the mask is one that the kernel takes.
func FuzzLegalMasks(f *testing.F) {
	f.Add(uint32(0x7ff), 1, 0.3, uint32(0))
	f.Add(uint32(0xfffff), 2, 0.01, uint32(0xf00f0))
	f.Fuzz(func(t *testing.T, all uint32, least int, share float64, taken uint32) {
		c := Cache{Name: "L3", Mask: Mask(all)}
		if all == 0 || !c.Mask.Contiguous() || share != share {
			return
		}
		c.MinWays = min(max(least, 1), c.Mask.Ways())
		fresh := Line{"L3", []Value{{0, uint64(all)}}}
		got := Mask(c.line(share, fresh, map[int]Mask{0: Mask(taken)}).Values[0].N)
		if got == c.Mask {
			return
		}
		if !got.Contiguous() || got.Ways() < c.MinWays || got&^c.Mask != 0 || got&Mask(taken) != 0 || got.Ways() > max(c.Ways(share), c.MinWays) {
			t.Fatalf("mask %x of %x, at least %d, taken %x, share %v", got, all, c.MinWays, taken, share)
		}
	})
}

func FuzzParseMount(f *testing.F) {
	f.Add(`52 25 0:48 / /sys/fs/resctrl rw,relatime shared:30 - resctrl resctrl rw,cdp`)
	f.Add(`52 25 0:48 /anole-be /mnt\040x rw - resctrl none rw`)
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := parseMount(line); ok && (m.Dir == "" || !strings.Contains(line, "resctrl")) {
			t.Fatalf("%q: %+v", line, m)
		}
	})
}

func FuzzParseMask(f *testing.F) {
	for _, s := range []string{"7ff", " ffffffff\n", "0", "100000000", "-1", "0x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMask(s)
		if err != nil {
			return
		}
		if again, err := ParseMask(m.String()); err != nil || again != m {
			t.Fatalf("%q: %v became %v, %v", s, m, again, err)
		}
	})
}

// Whatever a kernel says of a cache, what is made of it can be used.
func FuzzReadInfo(f *testing.F) {
	f.Add("16", "7ff", "1", "600", "1")
	f.Add("0", "f0", "9", "", "2")
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "info", "L3"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, closids, mask, least, shareable, sparse string) {
		for name, v := range map[string]string{"num_closids": closids, "cbm_mask": mask, "min_cbm_bits": least, "shareable_bits": shareable, "sparse_masks": sparse} {
			if err := os.WriteFile(filepath.Join(dir, "info", "L3", name), []byte(v), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		i, err := ReadInfo(dir, Percent)
		if err != nil {
			return
		}
		for _, c := range i.Caches {
			if c.Mask == 0 || c.MinWays < 1 || c.MinWays > c.Mask.Ways() || c.Groups < 0 {
				t.Fatalf("%+v", c)
			}
		}
	})
}
