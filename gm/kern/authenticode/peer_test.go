package authenticode_test

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/kern/authenticode"
	"github.com/anole-os/anole/internal/testkit"
)

// run runs a program and gives what it says, and whether it ended well.
func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// firmware is a key of RSA with the files that tools want.
type firmware struct {
	ca, key                      *testpki.Entity
	caFile, certificate, private string
	options                      authenticode.VerifyOptions
}

func newFirmware(t *testing.T, dir string) *firmware {
	f := &firmware{ca: testpki.New(t, "platform", testpki.RSA(t))}
	f.key = f.ca.Issue(t, "builder", testpki.RSA(t))
	f.caFile, _ = f.ca.Write(t, dir, "ca")
	f.certificate, f.private = f.key.Write(t, dir, "key")
	f.options.Roots = []*cms.Certificate{f.ca.Certificate}
	return f
}

// images are real ones, and one of 32 bits.
func images(t *testing.T) map[string][]byte {
	all := map[string][]byte{"PE32": anImage(false, 0), "PE32, odd": anImage(false, 5)}
	for _, path := range realImages(t) {
		all[path] = read(t, path)
	}
	return all
}

// Both tools and we have one hash of real images.
func TestHash(t *testing.T) {
	pesign, path := testkit.NeedTool(t, "pesign"), filepath.Join(t.TempDir(), "image")
	for name, file := range images(t) {
		sum, err := authenticode.Hash(file, cms.SHA256)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for len(file)%8 > 0 { // pesign pads when it signs only
			file = append(file, 0)
		}
		put(t, path, file)
		if out := must(t, pesign, "-h", "-i", path); !strings.Contains(out, hex.EncodeToString(sum)) {
			t.Errorf("%s: %x here, pesign says %s", name, sum, out)
		}
	}
}

// Debian's kernels are signed: we read that and find the hash to fit.
func TestSignedKernels(t *testing.T) {
	n := 0
	for _, path := range realImages(t) {
		if filepath.Base(path) != "vmlinuz" {
			continue
		}
		n++
		all, err := authenticode.List(read(t, path))
		if err != nil || len(all) != 1 || all[0].Err != nil || !strings.Contains(all[0].Message.Signers[0].Issuer(), "Debian Secure Boot CA") {
			t.Errorf("%s: %v %+v", path, err, all)
		}
		// The signer's certificate is within; trust it, and the whole chain of checks goes.
		o := authenticode.VerifyOptions{Roots: all[0].Message.Certificates}
		if _, err := authenticode.Verify(read(t, path), o); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	t.Logf("%d kernels", n)
}

var sums = regexp.MustCompile(`(?i)(?:current pe checksum|pe checksum)\s*:\s*([0-9A-F]+)`)

// What we sign, sbverify and osslsigncode take, once and twice; a bent image they do not.
func TestOursIsTaken(t *testing.T) {
	sbverify, ossl, dir := testkit.NeedTool(t, "sbverify"), testkit.NeedTool(t, "osslsigncode"), t.TempDir()
	f, path := newFirmware(t, dir), filepath.Join(dir, "image")
	for name, file := range images(t) {
		o := authenticode.SignOptions{Certificate: f.key.Certificate, Key: f.key.Key, Replace: true}
		for n := range 2 {
			var err error
			if file, err = authenticode.Sign(file, o); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			o.Replace = false
			put(t, path, file)
			must(t, sbverify, "--cert", f.certificate, path)
			if n > 0 {
				break // osslsigncode knows one entry in a table
			}
			out := must(t, ossl, "verify", "-CAfile", f.caFile, "-in", path)
			if !strings.Contains(out, "Signature verification: ok") || strings.Contains(out, "invalid PE checksum") || !sums.MatchString(out) {
				t.Errorf("%s: osslsigncode says: %s", name, out)
			}
		}
		if out := must(t, sbverify, "--list", path); strings.Count(out, "\nsignature ")+strings.Count(out[:10], "signature ") != 2 {
			t.Errorf("%s: sbverify lists: %s", name, out)
		}
		file[headers+9] ^= 1
		put(t, path, file)
		if out, err := run(sbverify, "--cert", f.certificate, path); err == nil {
			t.Errorf("%s: sbverify takes what it should not: %s", name, out)
		}
	}
}

// What sbsign and osslsigncode sign, we take, one above the other too, and take off.
func TestTheirsIsTaken(t *testing.T) {
	sbsign, ossl, dir := testkit.NeedTool(t, "sbsign"), testkit.NeedTool(t, "osslsigncode"), t.TempDir()
	f := newFirmware(t, dir)
	path, one, two := filepath.Join(dir, "image"), filepath.Join(dir, "one"), filepath.Join(dir, "two")
	f.options.All = true
	for name, file := range images(t) {
		if bare, err := authenticode.Remove(file, -1); err == nil {
			file = bare
		}
		put(t, path, file)
		_ = os.Remove(two)
		must(t, ossl, "sign", "-certs", f.certificate, "-key", f.private, "-h", "sha256", "-in", path, "-out", two)
		if all, err := authenticode.Verify(read(t, two), f.options); err != nil || len(all) != 1 {
			t.Errorf("%s: of osslsigncode: %v", name, err)
		}
		must(t, sbsign, "--key", f.private, "--cert", f.certificate, "--output", one, path)
		must(t, sbsign, "--key", f.private, "--cert", f.certificate, "--output", two, one)
		for n, signed := range map[int]string{1: one, 2: two} {
			if all, err := authenticode.Verify(read(t, signed), f.options); err != nil || len(all) != n {
				t.Errorf("%s: %d of sbsign: %v", name, n, err)
			}
		}
		bare, err := authenticode.Remove(read(t, two), -1)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := authenticode.List(bare); err != nil || len(all) != 0 {
			t.Errorf("%s: left: %v %v", name, all, err)
		}
		if again, err := authenticode.Hash(bare, cms.SHA256); err != nil || hex.EncodeToString(again) != hex.EncodeToString(mustHash(t, file)) {
			t.Errorf("%s: not what it was: %v", name, err)
		}
	}
}

func mustHash(t *testing.T, file []byte) []byte {
	t.Helper()
	sum, err := authenticode.Hash(file, cms.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
