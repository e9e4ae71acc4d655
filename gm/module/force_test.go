package module

import (
	"os"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/testpki"
)

// No verb writes over a file without --force, and none over what it reads, under whatever
// name.
func TestForce(t *testing.T) {
	s := newShell(t)
	above := testpki.New(t, "authority", testpki.SM2(t))
	above.Write(t, ".", "above")
	above.Issue(t, "alice", testpki.SM2(t)).Write(t, ".", "a")
	s.write("text", "a letter")
	s.write("word", "password")
	s.write("a.ko", "\x7fELF"+strings.Repeat("module", 100))
	s.write("image", string(image()))
	who := " --cert a.pem --key a.key "
	s.run("cms sign --out p7m text" + who)
	s.run("cms encrypt --to a.pem --out p7e text")
	s.run("modsign sign --out signed.ko a.ko" + who)
	s.run("uefi sign --out signed image" + who)
	s.run("luks format disk --size 64KiB --iterations 1000 --key-file word")
	s.run("ca init --no-pass --subject CN=root")
	s.run("enc text --to a.pem --out sealed")
	for _, c := range []struct{ line, read string }{ // OUT is what is written
		{"cms sign --out OUT text" + who, "text"}, {"cms sign --out OUT text" + who, "a.key"}, {"cms sign --out OUT text" + who, "a.pem"}, {"cms sign --detached --out OUT text" + who, "text"},
		{"cms encrypt --to a.pem --out OUT text", "text"}, {"cms verify --root above.pem --out OUT p7m", "p7m"}, {"cms decrypt --key a.key --out OUT p7e", "p7e"}, {"cms decrypt --key a.key --out OUT p7e", "a.key"},
		{"rng fill --bytes 20 -f OUT", ""}, {"luks export disk OUT --key-file word", "disk"}, {"luks export disk OUT --key-file word", "word"},
		{"modsign sign --out OUT a.ko" + who, "a.ko"}, {"modsign sign --detached --out OUT a.ko" + who, "a.ko"}, {"modsign strip --out OUT signed.ko", "signed.ko"},
		{"uefi sign --out OUT image" + who, "a.key"}, {"uefi remove --all --out OUT signed", "signed"},
		{"key gen --no-pass --out OUT", ""}, {"key pub a.key --out OUT", "a.key"}, {"key conv a.key --no-pass --out OUT", ""}, {"csr make --key a.key --subject CN=a --out OUT", "a.key"},
		{"ca crl --out OUT", ""}, {"enc text --to a.pem --out OUT", "text"}, {"enc text --to a.pem --out OUT", "a.pem"}, {"dec sealed --key a.key --out OUT", "sealed"},
	} {
		at := func(out string) string { return strings.ReplaceAll(c.line, "OUT", out) }
		s.write("there", "of old")
		s.fails(core.ExitUsage, "there is there already: --force writes over it", at("there"))
		if got := string(s.read("there")); got != "of old" {
			t.Errorf("%s: wrote over a file: %q", c.line, got)
		}
		s.run(at("there") + " --force")
		if string(s.read("there")) == "of old" {
			t.Errorf("%s: --force wrote nothing", c.line)
		}
		if c.read == "" {
			continue
		}
		before := string(s.read(c.read))
		for name, link := range map[string]func(string, string) error{"hard": os.Link, "soft": os.Symlink, c.read: nil} {
			if link != nil {
				if err := link(c.read, name); err != nil {
					t.Fatal(err)
				}
			}
			s.fails(core.ExitUsage, name+" is the same file as "+c.read+", which is read", at(name)+" --force")
			if link != nil {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if string(s.read(c.read)) != before {
			t.Errorf("%s: %s is lost", c.line, c.read)
		}
	}
	// What is no file is written to, and a link to nothing is something.
	for _, line := range []string{"cms sign --out /dev/null text" + who, "enc text --to a.pem --out /dev/null", "dec sealed --key a.key --out /dev/null", "luks export disk /dev/null --key-file word"} {
		s.run(line)
	}
	s.fails(core.ExitFailed, "no space left", "dec sealed --key a.key --out /dev/full")
	if err := os.Symlink("nothing", "link"); err != nil {
		t.Fatal(err)
	}
	s.fails(core.ExitUsage, "link is there already", "rng fill --bytes 1 -f link")
	s.fails(core.ExitUsage, "disk is the same file as disk", "luks import disk disk --key-file word")
	// In place by design.
	s.run("modsign sign a.ko" + who)
	s.run("modsign sign --append a.ko" + who)
	s.run("key conv a.key --force --new-pass env:WORD --iterations 1000 --out a.key")
	// Another program's signature is no label.
	s.write("text.sig", "-----BEGIN PGP SIGNATURE-----\n")
	for _, verb := range []string{"label", "clear"} {
		if _, _, err := s.try("ima", verb, "--sigfile", "text"); err == nil || string(s.read("text.sig")) != "-----BEGIN PGP SIGNATURE-----\n" {
			t.Errorf("ima %s takes text.sig: %v", verb, err)
		}
	}
}
