package modsign_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gmsm2 "github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/klauspost/compress/zstd"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/rawsign"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/kern/modsign"
	"github.com/anole-os/anole/gm/x509"
	"github.com/anole-os/anole/internal/testkit"
)

// aModule is a file of ELF, as modules are.
func aModule(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return b[:100_001]
}

func options(e *testpki.Entity) modsign.SignOptions {
	return modsign.SignOptions{Certificate: e.Certificate, Key: e.Key}
}

func signed(t testing.TB, file []byte, o modsign.SignOptions) []byte {
	t.Helper()
	out, err := modsign.Sign(file, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSignVerifyStrip(t *testing.T) {
	module := aModule(t)
	stranger := testpki.New(t, "stranger", testpki.SM2(t))
	for _, key := range []*testpki.Entity{
		testpki.New(t, "ca", testpki.SM2(t)).Issue(t, "sm2", testpki.SM2(t)),
		testpki.New(t, "ca", testpki.SM2(t)).Issue(t, "rsa", testpki.RSA(t)),
	} {
		trusted := modsign.VerifyOptions{Roots: []*cms.Certificate{stranger.Certificate, key.Certificate}}
		file := signed(t, module, options(key))
		r, err := modsign.Verify(file, trusted)
		if err != nil || !r.Signers[0].Certificate.Equal(key.Certificate) {
			t.Fatalf("%s: %v", key.Certificate.Subject, err)
		}
		if _, err := modsign.Verify(file, modsign.VerifyOptions{Roots: trusted.Roots[:1]}); !errors.Is(err, cms.ErrNoCertificate) {
			t.Errorf("another's certificate: %v", err)
		}
		bent := bytes.Clone(file)
		bent[5000] ^= 1
		if _, err := modsign.Verify(bent, trusted); !errors.Is(err, cms.ErrSignature) {
			t.Errorf("bent: %v", err)
		}
		if out, err := modsign.Strip(file); err != nil || !bytes.Equal(out, module) {
			t.Errorf("strip: %v", err)
		}
		if _, err := modsign.Sign(file, options(key)); !errors.Is(err, modsign.ErrSigned) {
			t.Errorf("signed twice: %v", err)
		}
		o := options(key)
		o.Append = true
		twice := signed(t, file, o)
		if _, err := modsign.Verify(twice, trusted); err != nil || len(twice) <= len(file) {
			t.Errorf("forced: %v", err)
		}
		if out, err := modsign.Strip(twice); err != nil || !bytes.Equal(out, module) {
			t.Errorf("strip both: %v", err)
		}
		o.Append, o.Resign = false, true
		again := signed(t, twice, o)
		if part, _, err := modsign.Split(again); err != nil || !bytes.Equal(part, module) {
			t.Errorf("resigned: %v", err)
		}
	}
}

func TestCompressed(t *testing.T) {
	key := testpki.New(t, "ca", testpki.SM2(t)).Issue(t, "sm2", testpki.SM2(t))
	file := signed(t, aModule(t), options(key))
	for name, pack := range map[string]func([]byte) []byte{"gzip": gz, "zstd": zst, "xz": func(b []byte) []byte { return xz(t, b) }} {
		packed := pack(file)
		if _, err := modsign.Verify(packed, modsign.VerifyOptions{Roots: []*cms.Certificate{key.Certificate}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if i, err := modsign.Show(packed); err != nil || i.Compression != name || i.ModuleSize != 100_001 {
			t.Errorf("%s: %+v %v", name, i, err)
		}
		if _, err := modsign.Sign(packed, options(key)); !errors.Is(err, modsign.ErrPacked) {
			t.Errorf("%s signed: %v", name, err)
		}
		if _, err := modsign.Verify(packed[:len(packed)/2], modsign.VerifyOptions{Roots: []*cms.Certificate{key.Certificate}}); err == nil {
			t.Errorf("%s: half of it went", name)
		}
	}
	t.Setenv("PATH", "")
	var no *feature.UnsupportedError
	if _, err := modsign.Show([]byte("\xfd7zXZ\x00")); !errors.As(err, &no) {
		t.Errorf("without xz: %v", err)
	}
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func xz(t *testing.T, b []byte) []byte {
	c := exec.Command(testkit.NeedTool(t, "xz"), "-0")
	c.Stdin = bytes.NewReader(b)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTrailers(t *testing.T) {
	whole := modsign.Join([]byte("module"), []byte("message"))
	const magic = len("~Module signature appended~\n")
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"none":            {func([]byte) []byte { return nil }, modsign.ErrUnsigned},
		"cut":             {func(b []byte) []byte { return b[:len(b)-1] }, modsign.ErrUnsigned},
		"only the line":   {func(b []byte) []byte { return b[len(b)-magic:] }, modsign.ErrMalformed},
		"half a trailer":  {func(b []byte) []byte { return b[len(b)-magic-6:] }, modsign.ErrMalformed},
		"nothing else":    {func(b []byte) []byte { return b[len(b)-magic-12:] }, modsign.ErrMalformed},
		"no module":       {func(b []byte) []byte { return b[len("module"):] }, modsign.ErrMalformed},
		"huge":            {func(b []byte) []byte { b[len(b)-magic-4] = 0xff; return b }, modsign.ErrMalformed},
		"one more":        {func(b []byte) []byte { b[len(b)-magic-1] = 13; return b }, modsign.ErrMalformed},
		"empty":           {func(b []byte) []byte { b[len(b)-magic-1] = 0; return b }, modsign.ErrMalformed},
		"X.509":           {func(b []byte) []byte { b[len(b)-magic-10] = 1; return b }, modsign.ErrType},
		"algorithm":       {func(b []byte) []byte { b[len(b)-magic-12] = 1; return b }, modsign.ErrMalformed},
		"padding":         {func(b []byte) []byte { b[len(b)-magic-5] = 1; return b }, modsign.ErrMalformed},
		"as it should be": {func(b []byte) []byte { return b }, nil},
	} {
		module, message, err := modsign.Split(c.change(bytes.Clone(whole)))
		if !errors.Is(err, c.want) || err == nil && (string(module) != "module" || string(message) != "message") {
			t.Errorf("%s: %q %q %v", name, module, message, err)
		}
	}
	if _, err := modsign.Sign([]byte("text"), modsign.SignOptions{}); !errors.Is(err, modsign.ErrNoModule) {
		t.Errorf("text: %v", err)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(modsign.Join([]byte("module"), []byte("message")))
	f.Add([]byte("~Module signature appended~\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		module, message, err := modsign.Split(b)
		if err == nil && !bytes.Equal(modsign.Join(module, message), b) {
			t.Fatalf("%q is %q and %q", b, module, message)
		}
		if _, err := modsign.Show(b); err == nil && len(message) == 0 && modsign.Compression(b) == "" {
			t.Fatal("shown without a message")
		}
		if out, err := modsign.Strip(b); err == nil && strings.HasSuffix(string(out), "~Module signature appended~\n") {
			t.Fatal("something is left")
		}
	})
}

// realModules are some of a Debian kernel, which scripts/vm.sh unpacks.
func realModules(t *testing.T) (paths []string) {
	t.Helper()
	for _, dir := range []string{"6.1", "6.12"} {
		all, err := filepath.Glob("../../../.cache/vm/" + dir + "/lib/modules/*/kernel/net/vmw_vsock/*.ko*")
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, all...)
	}
	if len(paths) == 0 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "a Debian kernel's modules", Reason: feature.NoPeer, Need: ".cache/vm", Fix: "scripts/vm.sh setup"})
	}
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What Linux does not ask, and we do: for what a certificate is, whether it was revoked.
// The time is not asked, be the authority's certificate newer than the signer's was old.
func TestHeld(t *testing.T) {
	key := testpki.SM2(t)
	ca := testpki.New(t, "authority", key)
	years := func(c *smx509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-3, 0, 0), time.Now().AddDate(-2, 0, 0)
	}
	old := ca.Issue(t, "old", testpki.SM2(t), years)
	server := ca.Issue(t, "server", testpki.SM2(t), func(c *smx509.Certificate) { c.ExtKeyUsage = []smx509.ExtKeyUsage{smx509.ExtKeyUsageServerAuth} })
	for _, c := range []struct {
		who  *testpki.Entity
		o    modsign.VerifyOptions
		want error
	}{
		{old, modsign.VerifyOptions{}, nil},
		{old, modsign.VerifyOptions{Revocation: true}, x509.ErrNotTold},
		{server, modsign.VerifyOptions{}, x509.ErrUsage},
		{server, modsign.VerifyOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, nil},
	} {
		c.o.Roots, c.o.Certificates = []*cms.Certificate{ca.Certificate}, []*cms.Certificate{c.who.Certificate}
		if _, err := modsign.Verify(signed(t, aModule(t), options(c.who)), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.who.Certificate.Subject, err, c.want)
		}
	}
	z, err := gmsm2.CalculateZA(server.Certificate.PublicKey.(*ecdsa.PublicKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := modsign.Detached(append(z, "text"...), options(server)); !errors.Is(err, rawsign.ErrForeign) {
		t.Errorf("a message of the signer's: %v", err)
	}
}
