package x509

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/internal/peer"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/sm2"
)

// perRelease is how many certificates go each way with each of three releases: 510 in all.
const perRelease = 85

// distid is what OpenSSL before 4.0 wants to be told.
const distid = "distid:" + sm2.DefaultID

func save(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func saveKey(t testing.TB, dir, name string, k keys.Private) string {
	t.Helper()
	b, err := keys.PEM(k, nil, keys.Encryption{})
	if err != nil {
		t.Fatal(err)
	}
	return save(t, dir, name, b)
}

// source makes random things.
type source struct{ *mrand.Rand }

func newSource(t testing.TB) source {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return source{mrand.New(mrand.NewPCG(seed, 0))}
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ ,+\"\\<>;=#'()中国商用密码变色龙é🦎"

func (r source) text(most int) string {
	all := []rune(letters)
	out := []rune{all[r.IntN(26)]}
	for range r.IntN(most) {
		out = append(out, all[r.IntN(len(all))])
	}
	return string(append(out, 'x')) // no space at the end
}

func (r source) label() string {
	b := []byte{'h'}
	for range 1 + r.IntN(12) {
		b = append(b, letters[r.IntN(36)])
	}
	return string(b)
}

func (r source) some(f func(string) string) []string {
	var all []string
	for range r.IntN(4) {
		all = append(all, f(r.label()))
	}
	return all
}

// certificate is a template with random content, valid now.
func (r source) certificate() *Certificate {
	c := &Certificate{
		Subject:   pkix.Name{CommonName: r.text(40), Organization: []string{r.text(20)}, Country: []string{"CN"}, SerialNumber: r.label()},
		NotBefore: begin.AddDate(-r.IntN(60), 0, -r.IntN(300)), NotAfter: begin.AddDate(1+r.IntN(120), 0, 0).Add(time.Duration(r.IntN(1e6)) * time.Second),
		KeyUsage: KeyUsage(1 + r.IntN(1<<9-1)), DNSNames: r.some(func(s string) string { return s + ".example" }),
		EmailAddresses: r.some(func(s string) string { return s + "@example.com" }),
	}
	if r.IntN(20) == 0 {
		c.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280's "no end"
	}
	for range r.IntN(3) {
		ip := make(net.IP, []int{4, 16}[r.IntN(2)])
		for i := range ip {
			ip[i] = byte(1 + r.IntN(254))
		}
		c.IPAddresses = append(c.IPAddresses, ip)
	}
	for _, u := range r.some(func(s string) string { return "https://" + s + ".example/" + s }) {
		if p, err := url.Parse(u); err == nil {
			c.URIs = append(c.URIs, p)
		}
	}
	for range r.IntN(3) {
		c.ExtKeyUsage = append(c.ExtKeyUsage, ExtKeyUsage(1+r.IntN(4)))
	}
	slices.Sort(c.ExtKeyUsage)
	c.ExtKeyUsage = slices.Compact(c.ExtKeyUsage)
	for i := range r.IntN(3) {
		v := make([]byte, r.IntN(200))
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		b, _ := asn1.Marshal(v)
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, i}, Value: b})
	}
	if r.IntN(10) == 0 {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: r.text(10)}}
	}
	return c
}

// TestOurCertificates has OpenSSL verify ours, those that are to fail among them.
func TestOurCertificates(t *testing.T) {
	r := newSource(t)
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		h := newHouse(t, "")
		stranger := newHouse(t, "")
		pool := []keys.Private{newKey(t), newKey(t), newKey(t)}
		root := save(t, dir, "root", PEM(PEMCertificate, h.root.cert.Raw))
		inter := save(t, dir, "inter", PEM(PEMCertificate, h.inter.cert.Raw))
		var files []string
		good := map[string]bool{}
		add := func(c *Certificate, by *party, id string, ok bool) {
			p := sign(t, c, pool[r.IntN(len(pool))], by, id)
			path := save(t, dir, fmt.Sprintf("c%03d", len(files)), PEM(PEMCertificate, p.cert.Raw))
			files, good[path] = append(files, path), ok
			if _, err := Verify(p.cert, h.options("")); (err == nil) != ok {
				t.Errorf("ours says of %s: %v", path, err)
			}
		}
		for range perRelease {
			add(r.certificate(), h.inter, "", true)
		}
		expired := r.certificate()
		expired.NotBefore, expired.NotAfter = begin.AddDate(-2, 0, 0), begin.AddDate(-1, 0, 0)
		add(expired, h.inter, "", false)
		early := r.certificate()
		early.NotBefore, early.NotAfter = begin.AddDate(30, 0, 0), begin.AddDate(40, 0, 0)
		add(early, h.inter, "", false)
		add(r.certificate(), stranger.inter, "", false)
		add(r.certificate(), h.inter, "alice@example.com", false)
		// Before 4.0 the identity is for the certificate at the end only, not for those above.
		trust := []string{"verify", "-vfyopt", distid, "-CAfile", root, "-untrusted", inter}
		if o.Release != "4.0" {
			trust = []string{"verify", "-vfyopt", distid, "-partial_chain", "-trusted", inter}
		}
		out, _ := o.Try(append(trust, files...)...)
		for _, f := range files {
			if got := bytes.Contains(out, []byte(f+": OK\n")); got != good[f] {
				t.Errorf("OpenSSL says of %s: %v\n%s", f, got, load(t, f))
			}
		}
	})
}

// TestOtherIdentity has OpenSSL verify a certificate of ours under another identity.
func TestOtherIdentity(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		h := newHouse(t, ids[1])
		inter := save(t, dir, "inter", PEM(PEMCertificate, h.inter.cert.Raw))
		leaf := save(t, dir, "leaf", PEM(PEMCertificate, h.sign.cert.Raw))
		o.Run(t, "verify", "-vfyopt", "distid:"+ids[1], "-partial_chain", "-trusted", inter, leaf)
		if _, err := o.Try("verify", "-vfyopt", distid, "-partial_chain", "-trusted", inter, leaf); err == nil {
			t.Error("OpenSSL took it under the standard identity")
		}
	})
}

// TestOurContent has OpenSSL read names and dates of ours.
func TestOurContent(t *testing.T) {
	r := newSource(t)
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		h := newHouse(t, "")
		for range 5 {
			c := r.certificate()
			c.Subject = pkix.Name{CommonName: "变色龙 " + r.label()}
			p := sign(t, c, newKey(t), h.inter, "")
			path := save(t, dir, "c", PEM(PEMCertificate, p.cert.Raw))
			got := string(o.Run(t, "x509", "-in", path, "-noout", "-subject", "-serial", "-enddate", "-nameopt", "RFC2253,utf8,-esc_msb", "-ext", "subjectAltName"))
			want := []string{"subject=CN=" + c.Subject.CommonName, "serial=" + strings.ToUpper(Serial(c.SerialNumber)), "notAfter=" + c.NotAfter.Format("Jan _2 15:04:05 2006") + " GMT"}
			for _, n := range c.DNSNames {
				want = append(want, "DNS:"+n)
			}
			for _, n := range c.EmailAddresses {
				want = append(want, "email:"+n)
			}
			for _, n := range c.URIs {
				want = append(want, "URI:"+n.String())
			}
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("no %q in\n%s", w, got)
				}
			}
		}
	})
}

// theirRoot makes a CA of OpenSSL's.
func theirRoot(t *testing.T, o peer.OpenSSL, dir string) *Certificate {
	t.Helper()
	o.Run(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", filepath.Join(dir, "ca.key"))
	conf := save(t, dir, "req", []byte("[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"))
	o.Run(t, "req", "-x509", "-config", conf, "-key", filepath.Join(dir, "ca.key"), "-sm3", "-sigopt", distid,
		"-utf8", "-subj", "/C=CN/CN=他们的根", "-days", "20000", "-out", filepath.Join(dir, "ca"))
	c, err := ReadCertificate(load(t, filepath.Join(dir, "ca")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTheirCertificates verifies and reads certificates that OpenSSL issued.
func TestTheirCertificates(t *testing.T) {
	r := newSource(t)
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		root := theirRoot(t, o, dir)
		key := saveKey(t, dir, "k", newKey(t))
		options := Options{Roots: []*Certificate{root}}
		for range perRelease {
			name, dns, usages := r.text(40), r.label()+".example", Usages(KeyUsage(1+r.IntN(1<<9-1)))
			csr, err := CreateRequest(rand.Reader, &CertificateRequest{Subject: pkix.Name{CommonName: name}}, newKey(t), "")
			if err != nil {
				t.Fatal(err)
			}
			days := 1 + r.IntN(40000)
			args := []string{"x509", "-req", "-in", save(t, dir, "csr", PEM(PEMRequest, csr)), "-CA", filepath.Join(dir, "ca"), "-CAkey", filepath.Join(dir, "ca.key"), "-set_serial", "0x" + Serial(serial(t)),
				"-sm3", "-sigopt", distid, "-vfyopt", distid, "-days", fmt.Sprint(days), "-out", filepath.Join(dir, "c"), "-extfile",
				save(t, dir, "ext", []byte("keyUsage="+strings.Join(theirUsages(usages), ",")+"\nsubjectAltName=DNS:"+dns+",IP:10.1.2.3\n1.3.6.1.4.1.99999.1=ASN1:UTF8String:"+r.label()+"\nextendedKeyUsage=serverAuth\n"))}
			o.Run(t, args...)
			c, err := ReadCertificate(load(t, filepath.Join(dir, "c")))
			if err != nil {
				t.Errorf("%q: %v", name, err)
				continue
			}
			if c.Subject.CommonName != name || !slices.Equal(c.DNSNames, []string{dns}) || !slices.Equal(Usages(c.KeyUsage), usages) || c.NotAfter.Before(begin.AddDate(0, 0, days)) {
				t.Errorf("%q %q %q to %v: read as %+v", name, dns, usages, days, Describe(c))
			}
			options.Name, options.Usages = dns, []ExtKeyUsage{ExtKeyUsageServerAuth}
			if _, err := Verify(c, options); err != nil {
				t.Errorf("%q: %v", name, err)
			}
			if _, err := Verify(c, Options{Roots: options.Roots, ID: "alice"}); err == nil {
				t.Errorf("%q under another identity: taken", name)
			}
		}
		// One under another identity.
		o.Run(t, "req", "-x509", "-key", key, "-sm3", "-sigopt", "distid:"+ids[1], "-subj", "/CN=x", "-days", "9", "-out", filepath.Join(dir, "c"))
		c, err := ReadCertificate(load(t, filepath.Join(dir, "c")))
		if err != nil {
			t.Fatal(err)
		}
		if CheckCertificate(c, c, ids[1]) != nil || CheckCertificate(c, c, "") == nil {
			t.Error("another identity is not told from the standard one")
		}
	})
}

// TestExplicitCurves takes no curve that is told by its parameters, whatever they are.
func TestExplicitCurves(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		for curve, hash := range map[string]string{"prime256v1": "-sha256", "SM2": "-sm3", "secp256k1": "-sha256", "brainpoolP256r1": "-sha256"} {
			for _, form := range []string{"named_curve", "explicit"} {
				o.Run(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-pkeyopt", "ec_param_enc:"+form, "-out", at("k"))
				o.Run(t, "req", "-x509", "-key", at("k"), hash, "-subj", "/CN=x", "-days", "9", "-out", at("c"))
				_, err := ReadCertificate(load(t, at("c")))
				if good := form == "named_curve" && (curve == "prime256v1" || curve == "SM2"); (err == nil) != good {
					t.Errorf("%s, %s: %v", curve, form, err)
				}
				if _, err := keys.Load(at("k"), nil); form == "explicit" && err == nil {
					t.Errorf("key of %s, %s: taken", curve, form)
				}
			}
		}
	})
}

// theirUsages are the names that OpenSSL has for usages.
func theirUsages(ours []string) []string {
	names := map[string]string{"digital_signature": "digitalSignature", "content_commitment": "nonRepudiation", "key_encipherment": "keyEncipherment", "data_encipherment": "dataEncipherment",
		"key_agreement": "keyAgreement", "cert_sign": "keyCertSign", "crl_sign": "cRLSign", "encipher_only": "encipherOnly", "decipher_only": "decipherOnly"}
	var all []string
	for _, n := range ours {
		all = append(all, names[n])
	}
	return all
}

// TestRequestsOpenSSL goes both ways.
func TestRequestsOpenSSL(t *testing.T) {
	r := newSource(t)
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		k := newKey(t)
		for range 10 {
			b, err := CreateRequest(rand.Reader, &CertificateRequest{Subject: pkix.Name{CommonName: r.text(30)}, DNSNames: r.some(func(s string) string { return s + ".example" })}, k, "")
			if err != nil {
				t.Fatal(err)
			}
			o.Run(t, "req", "-in", save(t, dir, "r", PEM(PEMRequest, b)), "-verify", "-noout", "-vfyopt", distid)
		}
		name := r.text(30)
		key := saveKey(t, dir, "k", k)
		for i, form := range []string{"PEM", "DER"} {
			subject := "/CN=" + strings.NewReplacer(`\`, `\\`, "/", `\/`, "+", `\+`).Replace(name)
			id := ids[i]
			o.Run(t, "req", "-new", "-key", key, "-sm3", "-sigopt", "distid:"+[]string{sm2.DefaultID, id}[i], "-utf8", "-subj", subject, "-addext", "subjectAltName=DNS:a.example", "-outform", form, "-out", filepath.Join(dir, "r"))
			got, err := ReadRequest(load(t, filepath.Join(dir, "r")))
			if err != nil || CheckRequest(got, id) != nil || got.Subject.CommonName != name || len(got.DNSNames) != 1 {
				t.Errorf("%s: %v %q", form, err, name)
			}
		}
	})
}

// TestCRLOpenSSL goes both ways.
func TestCRLOpenSSL(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		h := newHouse(t, "")
		list := func(by *party, revoked ...*party) []byte {
			l := &RevocationList{Number: serial(t), ThisUpdate: begin, NextUpdate: begin.AddDate(60, 0, 0)}
			for i, p := range revoked {
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, RevocationListEntry{SerialNumber: p.cert.SerialNumber, RevocationTime: begin, ReasonCode: i})
			}
			b, err := CreateCRL(rand.Reader, l, by.cert, by.key, "")
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		root := save(t, dir, "root", PEM(PEMCertificate, h.root.cert.Raw))
		inter := save(t, dir, "inter", PEM(PEMCertificate, h.inter.cert.Raw))
		crls := save(t, dir, "crls", PEM(PEMCRL, list(h.root), list(h.inter, h.sign)))
		text := string(o.Run(t, "crl", "-in", crls, "-noout", "-text"))
		if !strings.Contains(text, "SM2-with-SM3") {
			t.Errorf("OpenSSL reads our list as\n%s", text)
		}
		testTheirCRL(t, o, dir)
		if o.Release != "4.0" {
			return // it knows no identity for the signatures of lists
		}
		verify := []string{"verify", "-vfyopt", distid, "-CAfile", root, "-untrusted", inter, "-crl_check_all", "-CRLfile", crls}
		o.Run(t, append(verify, save(t, dir, "enc", PEM(PEMCertificate, h.enc.cert.Raw)))...)
		if out, err := o.Try(append(verify, save(t, dir, "sign", PEM(PEMCertificate, h.sign.cert.Raw)))...); err == nil || !strings.Contains(err.Error(), "certificate revoked") {
			t.Errorf("OpenSSL says of a revoked certificate: %v %s", err, out)
		}
	})
}

func testTheirCRL(t *testing.T, o peer.OpenSSL, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	ca := theirRoot(t, o, dir)
	save(t, dir, "index", []byte("R\t300101000000Z\t250101000000Z,keyCompromise\t0102\tunknown\t/CN=x\nR\t20600101000000Z\t250101000000Z\t0FEDCBA987\tunknown\t/CN=y\n"))
	save(t, dir, "number", []byte("1000\n"))
	save(t, dir, "conf", []byte("[ca]\ndefault_ca=d\n[d]\ndatabase="+at("index")+"\ncrlnumber="+at("number")+"\ndefault_md=sm3\ndefault_crl_days=30000\n"))
	o.Run(t, "ca", "-config", at("conf"), "-gencrl", "-cert", at("ca"), "-keyfile", at("ca.key"), "-sigopt", distid, "-out", at("theirs"))
	l, err := ReadCRL(load(t, at("theirs")))
	if err != nil {
		t.Fatal(err)
	}
	rev, err := NewRevocations(l, ca, "")
	if err != nil {
		t.Fatal(err)
	}
	if e := rev.Lookup(bigInt(0x0102)); e == nil || e.ReasonCode != 1 {
		t.Errorf("entry %+v", e)
	}
	if rev.Lookup(bigInt(0x0fedcba987)) == nil || rev.Lookup(bigInt(3)) != nil || l.Number.Int64() != 0x1000 || rev.Current(begin.AddDate(50, 0, 0)) != nil {
		t.Error("their list is read wrongly")
	}
}
