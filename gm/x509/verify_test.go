package x509

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
)

func TestChains(t *testing.T) {
	for _, id := range ids {
		h := newHouse(t, id)
		chain, err := Verify(h.sign.cert, h.options(id))
		if err != nil || len(chain) != 3 {
			t.Fatalf("identity %q: %v, %d certificates", id, err, len(chain))
		}
		for _, other := range []string{"", "bob@example.com", ids[1]} {
			if other != id {
				if _, err := Verify(h.sign.cert, h.options(other)); !errors.Is(err, ErrUntrusted) {
					t.Errorf("signed as %q, verified as %q: %v", id, other, err)
				}
			}
		}
	}
}

// TestProblems breaks one thing at a time, under both identities.
func TestProblems(t *testing.T) {
	for _, id := range ids {
		h := newHouse(t, id)
		other := newHouse(t, id)
		old := template("server")
		old.NotBefore, old.NotAfter = begin.AddDate(-1, 0, 0), begin
		early := template("server")
		early.NotBefore = begin.AddDate(0, 0, 2)
		code := template("code")
		code.ExtKeyUsage = []ExtKeyUsage{ExtKeyUsageCodeSigning}
		named := template("named")
		named.DNSNames = []string{"a.example"}
		critical := template("critical")
		critical.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		oldCA := asCA(template("old CA"))
		oldCA.NotBefore, oldCA.NotAfter = begin.AddDate(-1, 0, 0), begin
		notCA := sign(t, template("no CA"), newKey(t), h.root, id)
		zero := asCA(template("zero"))
		zero.MaxPathLenZero = true
		short := sign(t, zero, newKey(t), h.root, id)
		belowShort := sign(t, asCA(template("below")), newKey(t), short, id)
		gone := sign(t, oldCA, newKey(t), h.root, id)
		for _, c := range []struct {
			name  string
			cert  *Certificate
			extra []*Certificate
			set   func(*Options)
			want  error
			which string
		}{
			{"good", h.sign.cert, nil, nil, nil, ""},
			{"expired", sign(t, old, newKey(t), h.inter, id).cert, nil, nil, ErrExpired, Leaf},
			{"early", sign(t, early, newKey(t), h.inter, id).cert, nil, nil, ErrEarly, Leaf},
			{"of another root", other.sign.cert, []*Certificate{other.inter.cert}, nil, ErrUntrusted, Leaf},
			{"no roots", h.sign.cert, nil, func(o *Options) { o.Roots = nil }, ErrUntrusted, Leaf},
			{"no intermediate", h.sign.cert, nil, func(o *Options) { o.Intermediates = nil }, ErrUntrusted, Leaf},
			{"usage of the key", h.sign.cert, nil, func(o *Options) { o.KeyUsage = ForEncryption }, ErrUsage, Leaf},
			{"usage", sign(t, code, newKey(t), h.inter, id).cert, nil, func(o *Options) { o.Usages = []ExtKeyUsage{ExtKeyUsageServerAuth} }, ErrUsage, Leaf},
			{"name", sign(t, named, newKey(t), h.inter, id).cert, nil, func(o *Options) { o.Name = "b.example" }, ErrName, Leaf},
			{"its name", sign(t, named, newKey(t), h.inter, id).cert, nil, func(o *Options) { o.Name = "a.example" }, nil, ""},
			{"critical extension", sign(t, critical, newKey(t), h.inter, id).cert, nil, nil, ErrConstraint, Leaf},
			{"expired issuer", sign(t, template("x"), newKey(t), gone, id).cert, []*Certificate{gone.cert}, nil, ErrExpired, Issuer},
			{"issuer that is no CA", sign(t, template("x"), newKey(t), notCA, id).cert, []*Certificate{notCA.cert}, nil, nil, "any"},
			{"path too long", sign(t, template("x"), newKey(t), belowShort, id).cert, []*Certificate{belowShort.cert, short.cert}, nil, nil, "any"},
			{"no list", h.sign.cert, nil, func(o *Options) { o.Revocation = true }, ErrNotTold, Leaf},
			{"later", h.sign.cert, nil, func(o *Options) { o.Time = begin.AddDate(3, 0, 0) }, ErrExpired, Leaf},
		} {
			o := h.options(id)
			o.Intermediates = append(o.Intermediates, c.extra...)
			if c.set != nil {
				c.set(&o)
			}
			_, err := Verify(c.cert, o)
			p, is := errors.AsType[*Problem](err)
			switch {
			case c.which == "":
				if err != nil {
					t.Errorf("identity %q, %s: %v", id, c.name, err)
				}
			case !is, c.which != "any" && (p.Which != c.which || p.Err != c.want):
				t.Errorf("identity %q, %s: %v", id, c.name, err)
			}
		}
	}
}

func TestPairs(t *testing.T) {
	h, other := newHouse(t, ""), newHouse(t, "")
	old := template("server")
	old.KeyUsage, old.NotBefore, old.NotAfter = ForEncryption, begin.AddDate(-1, 0, 0), begin
	expired := sign(t, old, newKey(t), h.inter, "")
	oldSign := template("server")
	oldSign.NotBefore, oldSign.NotAfter = begin.AddDate(-1, 0, 0), begin
	expiredSign := sign(t, oldSign, newKey(t), h.inter, "")
	stranger := template("client")
	stranger.KeyUsage = ForEncryption
	same := template("server")
	same.KeyUsage = ForEncryption
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		sign, enc *Certificate
		want      string
	}{
		{"good", h.sign.cert, h.enc.cert, ""},
		{"swapped", h.enc.cert, h.sign.cert, "the signing and the encryption certificate are swapped"},
		{"twice the signing one", h.sign.cert, h.sign.cert, "the encryption certificate is not for this use"},
		{"twice the encryption one", h.enc.cert, h.enc.cert, "the signing certificate is not for this use"},
		{"expired encryption", h.sign.cert, expired.cert, "the encryption certificate expired"},
		{"expired signing", expiredSign.cert, h.enc.cert, "the signing certificate expired"},
		{"another subject", h.sign.cert, sign(t, stranger, newKey(t), h.inter, "").cert, "the signing and the encryption certificate are not of one subject"},
		{"another issuer", h.sign.cert, sign(t, func() *Certificate { c := template("server"); c.KeyUsage = ForEncryption; return c }(), newKey(t), h.root, "").cert, "the signing and the encryption certificate are not from one issuer"},
		{"same name, other root", h.sign.cert, other.enc.cert, "the encryption certificate is not from an issuer that is trusted"},
		{"one key", h.sign.cert, sign(t, same, h.sign.key, h.inter, "").cert, "the signing and the encryption certificate have one key"},
		{"P-256", sign(t, template("server"), p256, h.inter, "").cert, h.enc.cert, "the signing or the encryption certificate is not of SM2"},
	} {
		got := ""
		p, err := NewSignEncPair(c.sign, c.enc)
		if err == nil {
			err = p.Verify(h.options(""))
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	p, err := NewSignEncPair(h.sign.cert, h.enc.cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Fits(h.sign.key, h.enc.key); err != nil {
		t.Error(err)
	}
	if err := p.Fits(h.enc.key, h.enc.key); err != ErrSignKey {
		t.Error(err)
	}
	if err := p.Fits(h.sign.key, h.sign.key); err != ErrEncKey {
		t.Error(err)
	}
}

func TestRevocation(t *testing.T) {
	for _, id := range ids {
		h := newHouse(t, id)
		list := func(by *party, next time.Time, revoked ...*party) *Revocations {
			l := &RevocationList{Number: serial(t), ThisUpdate: begin, NextUpdate: next}
			for _, r := range revoked {
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, RevocationListEntry{SerialNumber: r.cert.SerialNumber, RevocationTime: begin, ReasonCode: 1})
			}
			b, err := CreateCRL(rand.Reader, l, by.cert, by.key, id)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadCRL(PEM(PEMCRL, b))
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewRevocations(got, by.cert, id)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range []*party{h.enc, newHouse(t, id).root, h.sign} {
				if _, err := NewRevocations(got, wrong.cert, id); err == nil {
					t.Error("a list of another issuer: taken")
				}
			}
			return r
		}
		next := begin.AddDate(0, 0, 7)
		rootList := list(h.root, next)
		for _, c := range []struct {
			name  string
			lists []*Revocations
			want  error
			which string
		}{
			{"none", []*Revocations{rootList, list(h.inter, next)}, nil, ""},
			{"leaf", []*Revocations{rootList, list(h.inter, next, h.sign)}, ErrRevoked, Leaf},
			{"another", []*Revocations{rootList, list(h.inter, next, h.enc)}, nil, ""},
			{"intermediate", []*Revocations{list(h.root, next, h.inter), list(h.inter, next)}, ErrRevoked, Issuer},
			{"stale", []*Revocations{rootList, list(h.inter, begin.Add(time.Minute))}, ErrNotTold, Leaf},
			{"stale, revoked", []*Revocations{rootList, list(h.inter, begin.Add(time.Minute), h.sign)}, ErrRevoked, Leaf},
			{"only the root's", []*Revocations{rootList}, ErrNotTold, Leaf},
		} {
			o := h.options(id)
			o.CRLs, o.Revocation = c.lists, true
			_, err := Verify(h.sign.cert, o)
			p, is := errors.AsType[*Problem](err)
			if c.want == nil && err != nil || c.want != nil && (!is || p.Which != c.which || p.Err != c.want) {
				t.Errorf("identity %q, %s: %v", id, c.name, err)
			}
		}
	}
}

func TestRequests(t *testing.T) {
	for _, id := range ids {
		k := newKey(t)
		b, err := CreateRequest(rand.Reader, &CertificateRequest{Subject: pkix.Name{CommonName: "请求"}, DNSNames: []string{"a.example"}}, k, id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReadRequest(PEM(PEMRequest, b))
		if err != nil || CheckRequest(r, id) != nil || r.DNSNames[0] != "a.example" {
			t.Fatal(err)
		}
		if CheckRequest(r, "bob") != ErrSignature {
			t.Error("another identity: taken")
		}
		for _, i := range []int{len(b) - 1, bytes.Index(b, []byte("请求"))} {
			bad := bytes.Clone(b)
			bad[i] ^= 1
			if r, err := ParseRequest(bad); err == nil && CheckRequest(r, id) == nil {
				t.Errorf("byte %d changed: taken", i)
			}
		}
	}
}

// TestMixed has SM2's key sign by ECDSA, as smx509 would have it.
func TestMixed(t *testing.T) {
	h := newHouse(t, "")
	c := template("mixed")
	c.SerialNumber = serial(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// A root of P-256 above a leaf of SM2 is a chain like any other.
	root := sign(t, asCA(template("P-256")), p256, nil, "")
	leaf := sign(t, template("leaf"), newKey(t), root, "")
	if _, err := Verify(leaf.cert, Options{Roots: []*Certificate{root.cert}}); err != nil {
		t.Error(err)
	}
	bad := *h.sign.cert
	bad.SignatureAlgorithm = smx509.ECDSAWithSHA256
	if CheckCertificate(&bad, h.inter.cert, "") != ErrSignature {
		t.Error("a signature by SM2 taken for ECDSA's")
	}
	bad = *leaf.cert
	bad.SignatureAlgorithm = SM2WithSM3
	if CheckCertificate(&bad, root.cert, "") != ErrSignature {
		t.Error("a signature by ECDSA taken for SM2's")
	}
}

func TestDescribe(t *testing.T) {
	c := template("evil\x1b[31m\u202e")
	c.DNSNames = []string{"a.example"}
	c.ExtKeyUsage = []ExtKeyUsage{ExtKeyUsageServerAuth}
	p := sign(t, c, newKey(t), newHouse(t, "").inter, "")
	d := Describe(p.cert)
	var b bytes.Buffer
	if err := d.Print(&b, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.String() {
		if r < ' ' && r != '\n' || r == 0x202e {
			t.Errorf("%q steers a terminal", r)
		}
	}
	for _, want := range []string{"SM2", "digital_signature", "变色龙", "DNS:a.example", "for 364 days more", "server"} {
		if !bytes.Contains(b.Bytes(), []byte(want)) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// Lists of an issuer that are all too old are no answer, whether one must be there or not.
func TestStaleLists(t *testing.T) {
	for _, id := range ids {
		h := newHouse(t, id)
		list := func(next time.Time) *Revocations {
			b, err := CreateCRL(rand.Reader, &RevocationList{Number: serial(t), ThisUpdate: begin, NextUpdate: next}, h.inter.cert, h.inter.key, id)
			if err != nil {
				t.Fatal(err)
			}
			l, err := ReadCRL(b)
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewRevocations(l, h.inter.cert, id)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		stale, current := list(begin.Add(time.Minute)), list(begin.AddDate(0, 0, 7))
		for _, any := range []bool{false, true} {
			o := h.options(id)
			o.AnyTime = any
			o.CRLs = []*Revocations{stale}
			if _, err := Verify(h.sign.cert, o); !errors.Is(err, ErrNotTold) {
				t.Errorf("identity %q, stale: %v", id, err)
			}
			o.CRLs = append(o.CRLs, current)
			if _, err := Verify(h.sign.cert, o); err != nil {
				t.Errorf("identity %q, one of them current: %v", id, err)
			}
			o.CRLs = nil
			if _, err := Verify(h.sign.cert, o); err != nil {
				t.Errorf("identity %q, none: %v", id, err)
			}
		}
	}
}

// A certificate that is trusted itself may have been revoked by who issued it.
func TestTrustedRevoked(t *testing.T) {
	for _, id := range ids {
		h := newHouse(t, id)
		l := &RevocationList{Number: serial(t), ThisUpdate: begin, NextUpdate: begin.AddDate(0, 0, 7)}
		l.RevokedCertificateEntries = []RevocationListEntry{{SerialNumber: h.sign.cert.SerialNumber, RevocationTime: begin, ReasonCode: 1}}
		b, err := CreateCRL(rand.Reader, l, h.inter.cert, h.inter.key, id)
		if err != nil {
			t.Fatal(err)
		}
		list, err := ReadCRL(b)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRevocations(list, h.inter.cert, id)
		if err != nil {
			t.Fatal(err)
		}
		for cert, want := range map[*party]error{h.sign: ErrRevoked, h.enc: nil} {
			if _, err := Verify(cert.cert, Options{Roots: []*Certificate{cert.cert}, CRLs: []*Revocations{r}, ID: id}); !errors.Is(err, want) {
				t.Errorf("identity %q: %v, want %v", id, err, want)
			}
		}
	}
}

// An issuer's certificate that was made anew, after the leaf's or once that expired, makes
// a chain where the time is not asked, and the certificates that come out are those given.
func TestAnyTime(t *testing.T) {
	for _, id := range ids {
		rootKey, years := newKey(t), func(c *Certificate, from, to int) *Certificate {
			c.NotBefore, c.NotAfter = begin.AddDate(from, 0, 0), begin.AddDate(to, 0, 0)
			return c
		}
		root := sign(t, years(asCA(template("root")), -9, -5), rootKey, nil, id)
		leaf := sign(t, years(template("leaf"), -8, -6), newKey(t), root, id)
		renewed := sign(t, years(asCA(template("root")), -1, 5), rootKey, nil, id)
		o := Options{Roots: []*Certificate{renewed.cert}, ID: id}
		if _, err := Verify(leaf.cert, o); !errors.Is(err, ErrExpired) {
			t.Errorf("identity %q: %v", id, err)
		}
		o.AnyTime = true
		chain, err := Verify(leaf.cert, o)
		if err != nil || len(chain) != 2 || chain[0] != leaf.cert || chain[1] != renewed.cert {
			t.Errorf("identity %q: %v %v", id, chain, err)
		}
		o.Roots = []*Certificate{sign(t, asCA(template("root")), newKey(t), nil, id).cert}
		if _, err := Verify(leaf.cert, o); !errors.Is(err, ErrUntrusted) {
			t.Errorf("identity %q, another root: %v", id, err)
		}
	}
}
