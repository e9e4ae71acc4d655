package module

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/x509"
)

func TestPublics(t *testing.T) {
	a, b := testpki.New(t, "a", testpki.SM2(t)), testpki.New(t, "b", testpki.RSA(t))
	pub, err := keys.PublicPEM(b.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := keys.PEM(a.Key, nil, keys.Encryption{})
	if err != nil {
		t.Fatal(err)
	}
	crt := x509.PEM(x509.PEMCertificate, a.Certificate.Raw)
	for _, c := range []struct {
		name string
		b    []byte
		n    int
	}{
		{"DER of a certificate", a.Certificate.Raw, 1},
		{"both, and a private key, which is left out", append(append(append([]byte("text\n"), secret...), crt...), pub...), 2},
		{"a private key alone", secret, 0},
		{"nothing", nil, 0},
		{"text", []byte("-----BEGIN"), 0},
		{"one that is damaged beside one that is not", append(append([]byte(nil), crt...), []byte("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n")...), 0},
	} {
		all, err := publicsIn(c.b)
		if len(all) != c.n || (err == nil) != (c.n > 0) {
			t.Errorf("%s: %d, %v", c.name, len(all), err)
		}
	}
}

func FuzzPublics(f *testing.F) {
	a := testpki.New(f, "a", testpki.SM2(f))
	pub, err := keys.PublicPEM(a.Key.Public())
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{a.Certificate.Raw, pub, append(pub, x509.PEM(x509.PEMCertificate, a.Certificate.Raw)...), nil, []byte("-----BEGIN A-----\n-----END A-----\n")} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := publicsIn(b)
		if (err == nil) != (len(all) > 0) {
			t.Fatalf("%d, %v", len(all), err)
		}
		for _, p := range all {
			if keys.Algorithm(p.key) == "" {
				t.Fatalf("a key of %T", p.key)
			}
		}
	})
}

func TestExitCodes(t *testing.T) {
	denied := &policy.DeniedError{Op: policy.Import, Alg: policy.RSA, Mode: policy.Only}
	for _, c := range []struct {
		err               error
		material, verdict int
	}{
		{nil, core.ExitOK, core.ExitOK},
		{errors.New("x"), core.ExitUsage, core.ExitNo},
		{fmt.Errorf("read: %w", fs.ErrPermission), core.ExitDenied, core.ExitNo},
		{fmt.Errorf("read: %w", keys.ErrPassword), core.ExitDenied, core.ExitNo},
		{fmt.Errorf("read: %w", denied), core.ExitDenied, core.ExitDenied},
		{core.Exit(core.ExitUnreachable, errors.New("x")), core.ExitUnreachable, core.ExitUnreachable},
		{&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, core.ExitUsage, core.ExitFailed},
	} {
		if got := core.ExitCode(material(c.err)); got != c.material {
			t.Errorf("%v as material: %d", c.err, got)
		}
		if got := core.ExitCode(judged(c.err)); got != c.verdict {
			t.Errorf("%v as verdict: %d", c.err, got)
		}
	}
}
