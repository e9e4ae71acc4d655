package procfs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestControllerCgroup(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "proc/7")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const file = "5:net_cls,net_prio:/a:b/c\n4:memory:/m\n3:name=systemd:/s\n0::/u\n"
	if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[string]string{"net_cls": "/a:b/c", "net_prio": "/a:b/c", "memory": "/m", "net": "", "cpu": ""} {
		if got, err := ControllerCgroup(root, 7, c); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", c, got, err, want)
		}
	}
	if _, err := ControllerCgroup(root, 8, "memory"); !os.IsNotExist(err) {
		t.Errorf("a process that is not there: %v", err)
	}
}
