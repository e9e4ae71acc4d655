package authenticode_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/kern/authenticode"
	"github.com/anole-os/anole/gm/x509"
	"github.com/anole-os/anole/internal/testkit"
)

const (
	optional = 0x80 + 24
	headers  = 0x200
)

// anImage is a small PE file with two sections and tail bytes behind them, of PE32 or
// PE32+.
func anImage(plus bool, tail int) []byte {
	b := make([]byte, headers+0x400)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[60:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x84:], 0x14c)
	le.PutUint16(b[0x86:], 2)
	size, first, magic := 96+128, 96, 0x10b
	if plus {
		size, first, magic = 112+128, 112, 0x20b
		le.PutUint16(b[0x84:], 0x8664)
	}
	le.PutUint16(b[0x84+16:], uint16(size))
	le.PutUint16(b[0x84+18:], 0x0102) // an executable of 32 bits
	le.PutUint16(b[optional:], uint16(magic))
	le.PutUint32(b[optional+32:], 0x1000) // alignment of sections and of the file
	le.PutUint32(b[optional+36:], 0x200)
	le.PutUint32(b[optional+56:], 0x3000) // size in memory
	le.PutUint32(b[optional+60:], headers)
	le.PutUint16(b[optional+68:], 10) // an EFI application
	le.PutUint32(b[optional+first-4:], 16)
	for i, name := range []string{".data", ".text"} { // not in the file's order
		h := b[optional+size+40*i:]
		copy(h, name)
		le.PutUint32(h[8:], 0x200)
		le.PutUint32(h[12:], uint32(0x2000-0x1000*i))
		le.PutUint32(h[16:], 0x200)
		le.PutUint32(h[20:], uint32(headers+0x200-0x200*i))
	}
	for i := headers; i < len(b); i++ {
		b[i] = byte(i * 7)
	}
	return append(b, bytes.Repeat([]byte("t"), tail)...)
}

func sign(t testing.TB, file []byte, e *testpki.Entity) []byte {
	t.Helper()
	out, err := authenticode.Sign(file, authenticode.SignOptions{Certificate: e.Certificate, Key: e.Key})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSignVerifyRemove(t *testing.T) {
	ca := testpki.New(t, "authority", testpki.SM2(t))
	alice, bob := ca.Issue(t, "alice", testpki.SM2(t)), ca.Issue(t, "bob", testpki.RSA(t))
	eve := testpki.New(t, "stranger", testpki.SM2(t)).Issue(t, "eve", testpki.SM2(t))
	roots := authenticode.VerifyOptions{Roots: []*cms.Certificate{ca.Certificate}}
	strict := roots
	strict.All = true
	for _, plus := range []bool{false, true} {
		for _, tail := range []int{0, 1, 7, 8, 100} {
			file := anImage(plus, tail)
			one := sign(t, file, alice)
			two := sign(t, one, bob)
			three := sign(t, two, eve)
			if all, err := authenticode.Verify(two, strict); err != nil || len(all) != 2 || all[0].Hash != cms.SM3 || all[1].Hash != cms.SHA256 {
				t.Fatalf("two: %v", err)
			}
			if _, err := authenticode.Verify(three, roots); err != nil {
				t.Errorf("one of three is bad: %v", err)
			}
			if all, err := authenticode.Verify(three, strict); !errors.Is(err, cms.ErrUntrusted) || all[2].Err == nil || all[1].Err != nil {
				t.Errorf("one of three is bad, all wanted: %v", err)
			}
			back, err := authenticode.Remove(three, 2)
			if err != nil || !bytes.Equal(back, two) {
				t.Errorf("remove the third: %v", err)
			}
			if back, err = authenticode.Remove(three, 0); err != nil {
				t.Errorf("remove the first: %v", err)
			} else if all, err := authenticode.Verify(back, roots); err != nil || len(all) != 2 {
				t.Errorf("without the first: %v", err)
			}
			bare, err := authenticode.Remove(three, -1)
			if err != nil || len(bare) != (len(file)+7)&^7 || !bytes.Equal(bare[headers:len(file)], file[headers:]) {
				t.Errorf("remove all: %v", err)
			}
			if _, err := authenticode.Verify(bare, roots); !errors.Is(err, authenticode.ErrUnsigned) {
				t.Errorf("bare: %v", err)
			}
			again, err := authenticode.Sign(three, authenticode.SignOptions{Certificate: alice.Certificate, Key: alice.Key, Replace: true})
			if err != nil {
				t.Fatal(err)
			}
			if all, err := authenticode.Verify(again, strict); err != nil || len(all) != 1 {
				t.Errorf("replaced: %v", err)
			}
		}
	}
}

// Whatever byte of a signed image is changed: the signature does not fit, but for the
// checksum, which is not covered, and fillers behind a message.
func TestEveryByteIsCovered(t *testing.T) {
	ca := testpki.New(t, "authority", testpki.SM2(t))
	roots := authenticode.VerifyOptions{Roots: []*cms.Certificate{ca.Certificate}}
	file := sign(t, anImage(true, 3), ca.Issue(t, "alice", testpki.SM2(t)))
	end := headers + 0x400 + 8
	for i := range end {
		bent := bytes.Clone(file)
		bent[i] ^= 0x11
		_, err := authenticode.Verify(bent, roots)
		if isSum := i >= optional+64 && i < optional+68; (err == nil) != isSum {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for n := range file {
		if _, err := authenticode.Verify(file[:n], roots); err == nil {
			t.Errorf("cut at %d", n)
		}
	}
}

func TestMalformed(t *testing.T) {
	le := binary.LittleEndian
	const table = optional + 112 + 128 // of sections
	const place = optional + 112 + 32  // of the certificate table's place
	for name, c := range map[string]struct {
		change func(b []byte)
		want   error
	}{
		"text":             {func(b []byte) { b[0] = 'm' }, authenticode.ErrNoImage},
		"no header":        {func(b []byte) { le.PutUint32(b[60:], 0xffffffff) }, authenticode.ErrNoImage},
		"magic":            {func(b []byte) { b[optional] = 7 }, authenticode.ErrMalformed},
		"short header":     {func(b []byte) { le.PutUint16(b[0x84+16:], 60) }, authenticode.ErrMalformed},
		"long header":      {func(b []byte) { le.PutUint16(b[0x84+16:], 0xffff) }, authenticode.ErrMalformed},
		"many sections":    {func(b []byte) { le.PutUint16(b[0x86:], 0xffff) }, authenticode.ErrMalformed},
		"headers too long": {func(b []byte) { le.PutUint32(b[optional+60:], 0xfffffff0) }, authenticode.ErrMalformed},
		"gap":              {func(b []byte) { le.PutUint32(b[table+20:], headers+0x208) }, authenticode.ErrLayout},
		"overlap":          {func(b []byte) { le.PutUint32(b[table+20:], headers) }, authenticode.ErrLayout},
		"huge section":     {func(b []byte) { le.PutUint32(b[table+16:], 0xffffffff) }, authenticode.ErrMalformed},
		"table outside":    {func(b []byte) { le.PutUint32(b[place:], 8<<20); le.PutUint32(b[place+4:], 64) }, authenticode.ErrTable},
		"table wraps":      {func(b []byte) { le.PutUint32(b[place:], 0xfffffff8); le.PutUint32(b[place+4:], 0xffffffff) }, authenticode.ErrTable},
		"table in front":   {func(b []byte) { le.PutUint32(b[place:], 8); le.PutUint32(b[place+4:], uint32(len(b)-8)) }, authenticode.ErrTable},
		"table not at end": {func(b []byte) { le.PutUint32(b[place:], headers+0x200); le.PutUint32(b[place+4:], 64) }, authenticode.ErrTable},
		"empty entry": {func(b []byte) {
			le.PutUint32(b[place:], headers+0x3f8)
			le.PutUint32(b[place+4:], 8)
			clear(b[headers+0x3f8:])
		}, authenticode.ErrTable},
		"sound": {func([]byte) {}, nil},
	} {
		b := anImage(true, 0)
		c.change(b)
		if _, err := authenticode.Hash(b, cms.SM3); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	b := anImage(true, 0)
	le.PutUint32(b[optional+108:], 4)
	if _, err := authenticode.Sign(b, authenticode.SignOptions{}); !errors.Is(err, authenticode.ErrNoRoom) {
		t.Errorf("no room: %v", err)
	}
}

func FuzzImage(f *testing.F) {
	ca := testpki.New(f, "authority", testpki.SM2(f))
	alice := ca.Issue(f, "alice", testpki.SM2(f))
	f.Add(anImage(true, 0))
	f.Add(anImage(false, 3))
	f.Add(sign(f, anImage(true, 3), alice))
	f.Add(sign(f, sign(f, anImage(false, 0), alice), alice))
	o := authenticode.VerifyOptions{Roots: []*cms.Certificate{ca.Certificate}}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = authenticode.Verify(b, o)
		sum, err := authenticode.Hash(b, cms.SM3)
		if err != nil {
			return
		}
		if bare, err := authenticode.Remove(b, -1); err == nil {
			// What was signed is what it was.
			if again, err := authenticode.Hash(bare, cms.SM3); err != nil || !bytes.Equal(sum, again) {
				t.Fatalf("%x, %x, %v", sum, again, err)
			}
		}
		if out, err := authenticode.Sign(b, authenticode.SignOptions{Certificate: alice.Certificate, Key: alice.Key, Replace: true}); err == nil {
			if _, err := authenticode.Verify(out, o); err != nil {
				t.Fatalf("signed by us: %v", err)
			}
		}
	})
}

// realImages are a boot loader, a stub for kernels, and Debian's signed kernels.
func realImages(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/systemd/boot/efi/*.efi*", "../../../.cache/vm/*/vmlinuz"} {
		all, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range all {
			if filepath.Ext(path) != ".signed" && filepath.Base(path) != "linuxx64.elf.stub" {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) == 0 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "real images", Reason: feature.NoPeer, Need: "systemd-boot", Fix: "install systemd-boot-efi"})
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

// What firmware does not ask, and we do: for what a certificate is, and whether a list is
// needed. The time is not asked, be the authority's certificate newer than the signer's
// was old.
func TestHeld(t *testing.T) {
	ca := testpki.New(t, "authority", testpki.SM2(t))
	old := ca.Issue(t, "old", testpki.SM2(t), func(c *smx509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-3, 0, 0), time.Now().AddDate(-2, 0, 0)
	})
	server := ca.Issue(t, "server", testpki.SM2(t), func(c *smx509.Certificate) { c.ExtKeyUsage = []smx509.ExtKeyUsage{smx509.ExtKeyUsageServerAuth} })
	for _, c := range []struct {
		who  *testpki.Entity
		o    authenticode.VerifyOptions
		want error
	}{
		{old, authenticode.VerifyOptions{}, nil},
		{old, authenticode.VerifyOptions{Time: time.Now()}, x509.ErrExpired},
		{old, authenticode.VerifyOptions{Revocation: true}, x509.ErrNotTold},
		{server, authenticode.VerifyOptions{}, x509.ErrUsage},
		{server, authenticode.VerifyOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, nil},
	} {
		c.o.Roots = []*cms.Certificate{ca.Certificate}
		if _, err := authenticode.Verify(sign(t, anImage(true, 0), c.who), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.who.Certificate.Subject, err, c.want)
		}
	}
}
