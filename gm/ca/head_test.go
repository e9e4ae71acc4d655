package ca

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/gm/x509"
)

// files are those of a CA that change.
var files = []string{"index", "head", "crl/root.crl"}

// snapshot keeps the files, those that are there.
func snapshot(t *testing.T, c *CA) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range files {
		if _, err := os.Stat(filepath.Join(c.dir, name)); err == nil {
			all[name] = state(t, c, name)
		}
	}
	return all
}

// restore puts files back, and takes away those that were not there.
func restore(t *testing.T, c *CA, all map[string][]byte, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(c.dir, name)
		err := os.WriteFile(path, all[name], 0o600)
		if all[name] == nil {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestRollback puts older copies back, in each way, after each step.
func TestRollback(t *testing.T) {
	c := newCA(t, options(t, false))
	was := []map[string][]byte{snapshot(t, c)}
	a := issue(t, c, subject(t, "CN=a"))
	was = append(was, snapshot(t, c))
	if err := c.Revoke(1, x509.Serial(a.Certificate.SerialNumber)); err != nil {
		t.Fatal(err)
	}
	was = append(was, snapshot(t, c))
	list := func() error { _, err := c.CRL(Root, 7); return err }
	for range 2 {
		if err := list(); err != nil {
			t.Fatal(err)
		}
		was = append(was, snapshot(t, c))
	}
	last := was[len(was)-1]
	refused := func(what string, listed bool) {
		t.Helper()
		before := snapshot(t, c)
		for name, do := range map[string]func() error{
			"issue": func() error { _, err := c.Issue(subject(t, "CN=b")); return err }, "crl": list,
			"revoke": func() error { return c.Revoke(1, "00") }, "list": func() error { _, err := c.List(); return err },
		} {
			if listed && name != "crl" || name == "list" && strings.HasPrefix(what, "head") {
				continue // the lists alone tell of the one; who only reads may have the head of before
			}
			if err := do(); !errors.Is(err, ErrRollback) || !strings.Contains(err.Error(), "newest backup") {
				t.Errorf("%s: %s: %v", what, name, err)
			}
		}
		for name, b := range before {
			if !bytes.Equal(state(t, c, name), b) {
				t.Errorf("%s: %s was written to", what, name)
			}
		}
	}
	for i, old := range was[:len(was)-1] {
		restore(t, c, last, files...)
		restore(t, c, old, "index")
		refused("index", false)
		restore(t, c, last, "index")
		if i < len(was)-2 { // one line is what a crash leaves
			restore(t, c, old, "head")
			refused("head", false)
		}
		restore(t, c, old, "index", "head")
		refused("index and head, with the last list there", true)
	}
	restore(t, c, last, files...)
	for name, b := range map[string][]byte{"torn": last["index"][:len(last["index"])-1], "empty": {}} {
		restore(t, c, map[string][]byte{"index": b}, "index")
		refused("index "+name, false)
	}
	// Another index as long, each line of which follows.
	other := newCA(t, options(t, false))
	for range 5 {
		issue(t, other, subject(t, "CN=longer"))
	}
	restore(t, c, map[string][]byte{"index": state(t, other, "index")}, "index")
	refused("index of another", false)
	restore(t, c, last, files...)
	for name, b := range map[string][]byte{"text": []byte("text"), "none": nil} {
		restore(t, c, map[string][]byte{"head": b}, "head")
		if _, err := c.Issue(subject(t, "CN=b")); !errors.Is(err, ErrRollback) {
			t.Errorf("head %s: %v", name, err)
		}
	}
	restore(t, c, last, files...)
	if err := list(); err != nil {
		t.Errorf("restored: %v", err)
	}
}

// TestHeadLate leaves what one leaves that is killed between a line and the head, at each
// step: the next goes on.
func TestHeadLate(t *testing.T) {
	c := newCA(t, options(t, false))
	for i, step := range []func() error{
		func() error { _, err := c.Issue(subject(t, "CN=a")); return err },
		func() error { _, err := c.CRL(Root, 1); return err },
		func() error { l, err := c.List(); return errors.Join(err, c.Revoke(0, l[0].Serial)) },
		func() error { _, err := c.CRL(Root, 1); return err },
	} {
		before := snapshot(t, c)
		if err := step(); err != nil {
			t.Fatal(err)
		}
		restore(t, c, before, "head", "crl/root.crl") // neither was written
		if err := os.WriteFile(filepath.Join(c.dir, "head.new"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := c.List(); err != nil || len(all) != i+1 {
			t.Errorf("step %d: %d entries, %v", i, len(all), err)
		}
		issue(t, c, subject(t, "CN=next"))
		if _, err := c.List(); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	der, err := c.CRL(Root, 1)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := x509.ParseCRL(der); err != nil || l.Number.Int64() != 3 || len(l.RevokedCertificateEntries) != 1 {
		t.Errorf("%v %v", l.Number, err)
	}
}

// TestLastList has a list in the folder that the index does not account for.
func TestLastList(t *testing.T) {
	c := newCA(t, options(t, false))
	a := issue(t, c, subject(t, "CN=a"))
	bare := snapshot(t, c)
	if err := c.Revoke(1, x509.Serial(a.Certificate.SerialNumber)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRL(Root, 1); err != nil {
		t.Fatal(err)
	}
	list := state(t, c, "crl/root.crl")
	// The numbers went on, but without the revocation.
	restore(t, c, bare, files...)
	for range 2 {
		if _, err := c.CRL(Root, 1); err != nil {
			t.Fatal(err)
		}
	}
	restore(t, c, map[string][]byte{"crl/root.crl": list}, "crl/root.crl")
	if _, err := c.CRL(Root, 1); !errors.Is(err, ErrRollback) || !strings.Contains(err.Error(), "is not revoked") {
		t.Errorf("a revocation is lost: %v", err)
	}
	// One that expired may go.
	x := newIndex()
	e := entry(a.Certificate, Root, "server", "")
	e.NotAfter = now().AddDate(0, 0, -1)
	if err := x.apply(&record{Issue: []*Entry{e}}); err != nil {
		t.Fatal(err)
	}
	if err := c.follows(x, Root, 2); err != nil {
		t.Errorf("expired: %v", err)
	}
	restore(t, c, map[string][]byte{"crl/root.crl": []byte("text")}, "crl/root.crl")
	if _, err := c.CRL(Root, 1); err == nil || !strings.Contains(err.Error(), "root.crl is damaged: restore it") {
		t.Errorf("damaged: %v", err)
	}
}
