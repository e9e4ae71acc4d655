package modsign_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/kern/modsign"
	"github.com/anole-os/anole/internal/testkit"
)

// A kernel loads what we verified, and is not asked to load what we refuse.
func TestKernelLoads(t *testing.T) {
	if !testkit.Guest() {
		testkit.Need(t, &feature.UnsupportedError{
			Feature: "loading modules", Reason: feature.NoKernel, Need: "a kernel that may be given any", Fix: "scripts/vm.sh test ./gm/kern/modsign",
		})
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	file := read(t, filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]), "kernel/drivers/net/dummy.ko"))
	if bare, err := modsign.Strip(file); err == nil {
		file = bare
	}
	for _, key := range []*testpki.Entity{
		testpki.New(t, "authority", testpki.SM2(t)).Issue(t, "builder", testpki.SM2(t)),
		testpki.New(t, "authority", testpki.RSA(t)).Issue(t, "builder", testpki.RSA(t)),
	} {
		ours := signed(t, file, options(key))
		if err := modsign.Load(ours, modsign.VerifyOptions{}, ""); !errors.Is(err, cms.ErrNoCertificate) {
			t.Fatalf("trusting nobody: %v", err)
		}
		if _, err := os.Stat("/sys/module/dummy"); err == nil {
			t.Fatal("it is there already")
		}
		if err := modsign.Load(ours, modsign.VerifyOptions{Roots: []*cms.Certificate{key.Certificate}}, "numdummies=3"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat("/sys/class/net/dummy2"); err != nil {
			t.Errorf("the parameter had no effect: %v", err)
		}
		if err := unix.DeleteModule("dummy", 0); err != nil {
			t.Fatal(err)
		}
	}
}
