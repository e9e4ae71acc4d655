package ca

import (
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/x509"
)

// Names of issuers, of their files and in the index.
const (
	Root         = "root"
	Intermediate = "intermediate"
	escrow       = "escrow"
)

// settings is ca.json.
type settings struct {
	Version      int    `json:"version"`
	ID           string `json:"id,omitempty"`      // signers' identity; "" is the standard one
	CRLURL       string `json:"crl_url,omitempty"` // put into what is issued
	Intermediate bool   `json:"intermediate"`
}

// Options is how to make a CA.
type Options struct {
	Name         pkix.Name // of the root
	Intermediate pkix.Name // of the CA below it that issues; without a part there is none
	Days         int       // of the root's validity; 0 is 20 years. The intermediate has half
	Password     []byte    // of the keys; nil leaves them open
	Encryption   keys.Encryption
	ID           string // signers' identity; "" is the standard one
	CRLURL       string // where lists will be found, if anywhere
}

// CA is a certificate authority. It may be used by any number of goroutines and
// processes: whoever writes holds its lock.
type CA struct {
	dir      string
	settings settings
	password keys.Password
	certs    map[string]*x509.Certificate
	profiles []Profile
}

// back is how much earlier than now validity begins, for clocks that are late.
const back = 5 * time.Minute

// now is whole seconds: certificates have no finer ones.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// Init makes a CA in a folder that must not be there or be empty. It is there whole or
// not at all; a process that is killed may leave a folder DIR.new-… beside it. policy.Default
// and selftest.OK are asked before anything is made.
func Init(dir string, o Options) (*CA, error) {
	if err := selftest.OK(); err != nil {
		return nil, fmt.Errorf("make CA in %s: %w", dir, err)
	}
	if o.Password != nil {
		if err := o.Encryption.Check(); err != nil {
			return nil, fmt.Errorf("make CA in %s: %w", dir, err)
		}
	}
	dir = filepath.Clean(dir)
	if l, err := os.ReadDir(dir); err == nil && len(l) > 0 {
		return nil, fmt.Errorf("make CA in %s: there is something in it: %w", dir, fs.ErrExist)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".new-") // 0700
	if err != nil {
		return nil, fmt.Errorf("make CA in %s: %w", dir, err)
	}
	if err := fill(temp, &o); err != nil {
		return nil, errors.Join(fmt.Errorf("make CA in %s: %w", dir, err), os.RemoveAll(temp))
	}
	if err := os.Rename(temp, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("make CA in %s: %w", dir, err), os.RemoveAll(temp))
	}
	if err := whole.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	return Open(dir, func() ([]byte, error) { return append([]byte(nil), o.Password...), nil })
}

// fill writes all files of a new CA.
func fill(dir string, o *Options) error {
	if o.Days == 0 {
		o.Days = 20 * 365
	}
	if o.Days < 1 || o.Days > maxDays {
		return fmt.Errorf("%w %d: must be 1 to %d", ErrDays, o.Days, maxDays)
	}
	below := len(o.Intermediate.ToRDNSequence()) > 0
	root, key, err := foundRoot(o, below)
	if err != nil {
		return err
	}
	b, err := x509.Create(rng.Reader, root, root, key.Public(), key, o.ID)
	if err != nil {
		return err
	}
	if root, err = x509.ParseCertificate(b); err != nil {
		return err
	}
	if err := save(dir, Root, root, key, o); err != nil {
		return err
	}
	x := newIndex()
	var first []byte
	if below {
		if first, err = foundIntermediate(dir, o, x, root, key); err != nil {
			return err
		}
	}
	if err := x.take(first); err != nil {
		return err
	}
	secret, err := keys.Generate(rng.Reader)
	if err != nil {
		return err
	}
	if err := keys.Save(filepath.Join(dir, escrow+".key"), secret, o.Password, o.Encryption); err != nil {
		return err
	}
	text, err := json.MarshalIndent(settings{Version: 1, ID: o.ID, CRLURL: o.CRLURL, Intermediate: below}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "crl"), 0o700); err != nil {
		return err
	}
	public, err := keys.PublicPEM(secret.Public())
	if err != nil {
		return err
	}
	return errors.Join(whole.Write(filepath.Join(dir, "ca.json"), append(text, '\n'), 0o600), whole.Write(filepath.Join(dir, "profiles.json"), builtin, 0o600),
		whole.Write(filepath.Join(dir, escrow+".pub"), public, 0o600), whole.Write(filepath.Join(dir, "index"), first, 0o600), saveHead(dir, x.head()),
		whole.Write(filepath.Join(dir, "lock"), nil, 0o600))
}

func save(dir, name string, c *x509.Certificate, key keys.Private, o *Options) error {
	return errors.Join(keys.Save(filepath.Join(dir, name+".key"), key, o.Password, o.Encryption),
		whole.Write(filepath.Join(dir, name+".crt"), x509.PEM(x509.PEMCertificate, c.Raw), 0o644))
}

// foundRoot gives a template and a key.
func foundRoot(o *Options, below bool) (*x509.Certificate, *sm2.PrivateKey, error) {
	key, err := keys.Generate(rng.Reader)
	if err != nil {
		return nil, nil, err
	}
	if len(o.Name.ToRDNSequence()) == 0 {
		return nil, nil, errors.New("the root has no name")
	}
	begin := now().Add(-back)
	c := authority(o.Name, begin, begin.AddDate(0, 0, o.Days))
	if below {
		c.MaxPathLen = 2 // the intermediate, and those of profile ca below it
	} else {
		c.MaxPathLen = 1
	}
	if c.SerialNumber, err = serial(newIndex()); err != nil {
		return nil, nil, err
	}
	c.SubjectKeyId, err = keyID(key.Public())
	return c, key, err
}

// authority is a template of a CA's certificate.
func authority(name pkix.Name, begin, end time.Time) *x509.Certificate {
	return &x509.Certificate{Subject: name, NotBefore: begin, NotAfter: end, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true}
}

// foundIntermediate makes the CA that issues, and gives the index's line of it.
func foundIntermediate(dir string, o *Options, x *index, root *x509.Certificate, rootKey keys.Private) ([]byte, error) {
	key, err := keys.Generate(rng.Reader)
	if err != nil {
		return nil, err
	}
	c := authority(o.Intermediate, root.NotBefore, root.NotBefore.AddDate(0, 0, max(1, o.Days/2)))
	c.MaxPathLen = 1
	if c.SerialNumber, err = serial(x); err != nil {
		return nil, err
	}
	if c.SubjectKeyId, err = keyID(key.Public()); err != nil {
		return nil, err
	}
	b, err := x509.Create(rng.Reader, c, root, key.Public(), rootKey, o.ID)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, err
	}
	if err := save(dir, Intermediate, cert, key, o); err != nil {
		return nil, err
	}
	return x.line(&record{Issue: []*Entry{entry(cert, Root, "ca", "")}})
}

// Open opens a CA. The password is asked for where a key that is under one is needed.
func Open(dir string, password keys.Password) (*CA, error) {
	c := &CA{dir: dir, password: password, certs: map[string]*x509.Certificate{}}
	b, err := whole.Read(filepath.Join(dir, "ca.json"), maxSettings)
	if err != nil {
		return nil, fmt.Errorf("open CA: %w: anole gm ca init makes one", err)
	}
	if err := json.Unmarshal(b, &c.settings); err != nil || c.settings.Version != 1 {
		return nil, fmt.Errorf("open CA: %s: not of a version that is known here", filepath.Join(dir, "ca.json"))
	}
	names := []string{Root}
	if c.settings.Intermediate {
		names = append(names, Intermediate)
	}
	for _, name := range names {
		path := filepath.Join(dir, name+".crt")
		b, err := whole.Read(path, maxSettings)
		if err != nil {
			return nil, fmt.Errorf("open CA: %w", err)
		}
		if c.certs[name], err = x509.ReadCertificate(b); err != nil {
			return nil, fmt.Errorf("open CA: %s: %w", path, err)
		}
	}
	if c.profiles, err = loadProfiles(dir); err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	return c, nil
}

// Certificate gives the certificate of an issuer: Root, or Intermediate if there is one,
// else nil.
func (c *CA) Certificate(issuer string) *x509.Certificate { return c.certs[issuer] }

// Issuer names the one that issues.
func (c *CA) Issuer() string {
	if c.settings.Intermediate {
		return Intermediate
	}
	return Root
}

// Chain gives the certificates above those that are issued, the root last.
func (c *CA) Chain() []*x509.Certificate {
	if c.settings.Intermediate {
		return []*x509.Certificate{c.certs[Intermediate], c.certs[Root]}
	}
	return []*x509.Certificate{c.certs[Root]}
}

// Profiles gives what certificates can be issued.
func (c *CA) Profiles() []Profile { return c.profiles }

// ID is the identity under which the CA signs; "" is the standard one.
func (c *CA) ID() string { return c.settings.ID }

// key loads a private key and holds it to its certificate. One that others may read is an
// error: a CA's key is not to be borne so. In the error state no key is touched.
func (c *CA) key(name string) (*sm2.PrivateKey, error) {
	if err := selftest.OK(); err != nil {
		return nil, fmt.Errorf("read key %s: %w", name, err)
	}
	k, err := keys.Load(filepath.Join(c.dir, name+".key"), c.password)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*sm2.PrivateKey)
	if cert := c.certs[name]; !ok || cert != nil && !keys.Equal(key.Public(), cert.PublicKey) {
		return nil, fmt.Errorf("read key %s: it is not that of the certificate", name)
	}
	return key, nil
}

// locked runs f while nobody else writes, with all that is in the index.
func (c *CA) locked(f func(file *os.File, x *index) error) error {
	lock, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock CA: %w", err)
	}
	defer lock.Close()
	for {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock CA: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(c.dir, "index"), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open index: %w", err)
	}
	defer file.Close()
	x, err := c.load(file)
	if err != nil {
		return err
	}
	return f(file, x)
}

// List gives what was issued, the oldest first.
func (c *CA) List() ([]*Entry, error) {
	h, err := c.loadHead() // before the index, which may grow meanwhile
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(c.dir, "index"))
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	defer file.Close()
	x := newIndex()
	x.expect(h)
	if _, err := x.catchUp(file); err != nil { // a line without its end is being written
		return nil, err
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	return x.entries, nil
}
