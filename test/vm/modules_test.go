package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func modulesTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, "lib/modules/6.1.0-test", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The image has what is provided, what that needs, and nothing else.
func TestModulesOfTheImage(t *testing.T) {
	dir := modulesTree(t, map[string]string{
		"modules.dep":   "kernel/net/sched/sch-a.ko: kernel/lib/b.ko kernel/lib/c.ko\nkernel/lib/b.ko: kernel/lib/c.ko\nkernel/lib/c.ko:\nkernel/sound/d.ko: kernel/lib/c.ko\n",
		"modules.alias": "# Aliases\nalias net-a sch_a\nalias snd-d d\n", "modules.builtin": "kernel/fs/ext4/ext4.ko\n",
		"kernel/net/sched/sch-a.ko": "A", "kernel/lib/b.ko": "B", "kernel/lib/c.ko": "C", "kernel/sound/d.ko": "D",
	})
	tr, err := openTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel/lib/b.ko", "kernel/lib/c.ko", "kernel/net/sched/sch-a.ko"}
	if got := tr.closure(provided); !slices.Equal(got, want) {
		t.Errorf("closure %q", got)
	}
	var out bytes.Buffer
	w := &archive{w: &out}
	if err := tr.add(w); err != nil || w.err != nil {
		t.Fatal(err, w.err)
	}
	text := out.String()
	for _, s := range append(want, "modules.builtin", "alias net-a sch_a\n", "kernel/net/sched/sch-a.ko: kernel/lib/b.ko kernel/lib/c.ko\n") {
		if !strings.Contains(text, s) {
			t.Errorf("no %q in the archive", s)
		}
	}
	if strings.Contains(text, "sound") || strings.Contains(text, "snd-d") {
		t.Error("the archive has what nobody needs")
	}
}

func TestModulesWithoutATree(t *testing.T) {
	if _, err := openTree(t.TempDir()); err == nil || !strings.Contains(err.Error(), "modules.dep") {
		t.Error(err)
	}
	dir := modulesTree(t, map[string]string{"modules.dep": "kernel/net/sched/gone.ko:\n", "modules.alias": "", "modules.builtin": ""})
	tr, err := openTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &archive{w: &bytes.Buffer{}}
	if err := tr.add(w); err == nil && w.err == nil {
		t.Error("a module that is not there was put into the archive")
	}
}
