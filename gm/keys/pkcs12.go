package keys

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/asn1"
	"encoding/binary"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/der"
)

// Bundle is what a file of PKCS#12 holds: a key, its certificate and those above it.
type Bundle struct {
	Name         string // shown to people; may be ""
	Key          Private
	Certificates [][]byte // DER; the key's own is the first, if there is any
}

// maxBags bounds what is in a PKCS#12 file.
const maxBags = 256

// ParsePKCS12 reads a file of PKCS#12 whose contents are under PBES2 or in the clear and
// whose MAC is of RFC 7292 or RFC 9579 (PBMAC1). It must have a MAC and one key.
// Whether that may be taken in, policy.Default is asked; the algorithms that it was under
// may be any.
func ParsePKCS12(b, password []byte) (*Bundle, error) {
	if err := ready("read key"); err != nil {
		return nil, err
	}
	bundle, err := openPKCS12(b, password)
	if err != nil {
		return nil, err
	}
	if _, err := taken(bundle.Key, nil); err != nil {
		return nil, err
	}
	return bundle, nil
}

func openPKCS12(b, password []byte) (*Bundle, error) {
	left := budget(MaxIterations)
	return parsePKCS12(b, password, &left)
}

func parsePKCS12(b, password []byte, left *budget) (*Bundle, error) {
	if len(b) > MaxSize || der.Check(b) != nil {
		return nil, ErrMalformed
	}
	var in, safe, mac cryptobyte.String
	var version int
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1Integer(&version) || version != 3 || !in.ReadASN1(&safe, tag.SEQUENCE) ||
		!in.ReadASN1(&mac, tag.SEQUENCE) || !in.Empty() {
		return nil, ErrMalformed
	}
	content, err := data(safe)
	if err != nil {
		return nil, err
	}
	if err := checkMAC(mac, content, password, left); err != nil {
		return nil, err
	}
	r := reader{password: password, left: left}
	if err := r.safe(content); err != nil {
		return nil, err
	}
	return r.bundle()
}

// data reads a ContentInfo's content of the type data.
func data(info cryptobyte.String) ([]byte, error) {
	var id asn1.ObjectIdentifier
	var explicit, content cryptobyte.String
	if !info.ReadASN1ObjectIdentifier(&id) {
		return nil, ErrMalformed
	}
	if !id.Equal(oidData) {
		return nil, ErrUnsupported
	}
	if !info.ReadASN1(&explicit, tag.Tag(0).ContextSpecific().Constructed()) || !info.Empty() ||
		!explicit.ReadASN1(&content, tag.OCTET_STRING) || !explicit.Empty() {
		return nil, ErrMalformed
	}
	return content, nil
}

// checkMAC holds content to MacData.
func checkMAC(mac cryptobyte.String, content, password []byte, left *budget) error {
	var info, algorithm, digest, salt cryptobyte.String
	var id asn1.ObjectIdentifier
	if !mac.ReadASN1(&info, tag.SEQUENCE) || !info.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) ||
		!info.ReadASN1(&digest, tag.OCTET_STRING) || !info.Empty() || !mac.ReadASN1(&salt, tag.OCTET_STRING) || len(salt) > 1024 {
		return ErrMalformed
	}
	iterations := 1
	if !mac.Empty() && (!mac.ReadASN1Integer(&iterations) || !mac.Empty()) {
		return ErrWork
	}
	var sum []byte
	var err error
	if id.Equal(oidPBMAC1) {
		sum, err = pbmac1(algorithm, content, password, left)
	} else {
		h := digestHash(id)
		if h == nil {
			return ErrUnsupported
		}
		if err = left.take(iterations); err == nil {
			m := hmac.New(h, kdf12(h, bmp(password), salt, iterations))
			m.Write(content)
			sum = m.Sum(nil)
		}
	}
	if err != nil {
		return err
	}
	if !hmac.Equal(sum, digest) {
		return ErrPassword
	}
	return nil
}

// pbmac1 is the MAC of RFC 9579.
func pbmac1(algorithm cryptobyte.String, content, password []byte, left *budget) ([]byte, error) {
	var params, kdf, scheme cryptobyte.String
	var id asn1.ObjectIdentifier
	if !algorithm.ReadASN1(&params, tag.SEQUENCE) || !algorithm.Empty() || !params.ReadASN1(&kdf, tag.SEQUENCE) ||
		!params.ReadASN1(&scheme, tag.SEQUENCE) || !params.Empty() || !scheme.ReadASN1ObjectIdentifier(&id) {
		return nil, ErrMalformed
	}
	h := prfHash(id)
	if h == nil {
		return nil, ErrUnsupported
	}
	p, err := parsePBKDF2(kdf, h().Size())
	if err != nil {
		return nil, err
	}
	if err := left.take(p.iterations); err != nil {
		return nil, err
	}
	key, err := pbkdf2.Key(prfHash(p.prf), string(password), p.salt, p.iterations, h().Size())
	if err != nil {
		return nil, ErrUnsupported
	}
	m := hmac.New(h, key)
	m.Write(content)
	return m.Sum(nil), nil
}

// reader gathers what is in bags.
type reader struct {
	password []byte
	left     *budget
	bags     int
	keys     []Private
	keyID    []byte
	name     string
	certs    [][]byte
	certIDs  [][]byte
}

// each reads a SEQUENCE of SEQUENCEs.
func (r *reader) each(b []byte, read func(cryptobyte.String) error) error {
	if der.Check(b) != nil {
		return ErrMalformed
	}
	var all cryptobyte.String
	s := cryptobyte.String(b)
	if !s.ReadASN1(&all, tag.SEQUENCE) {
		return ErrMalformed
	}
	for !all.Empty() {
		var one cryptobyte.String
		if r.bags++; r.bags > maxBags || !all.ReadASN1(&one, tag.SEQUENCE) {
			return ErrMalformed
		}
		if err := read(one); err != nil {
			return err
		}
	}
	return nil
}

// safe reads an AuthenticatedSafe.
func (r *reader) safe(b []byte) error {
	return r.each(b, func(info cryptobyte.String) error {
		var id asn1.ObjectIdentifier
		if head := info; !head.ReadASN1ObjectIdentifier(&id) {
			return ErrMalformed
		}
		content, err := r.content(id, info)
		if err != nil {
			return err
		}
		return r.contents(content)
	})
}

// content opens a ContentInfo.
func (r *reader) content(id asn1.ObjectIdentifier, info cryptobyte.String) ([]byte, error) {
	if !id.Equal(oidEncryptedData) {
		return data(info)
	}
	var explicit, in, sealed, algorithm, content cryptobyte.String
	var version int
	if !info.ReadASN1ObjectIdentifier(&id) || !info.ReadASN1(&explicit, tag.Tag(0).ContextSpecific().Constructed()) || !info.Empty() ||
		!explicit.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1Integer(&version) || version != 0 || !in.ReadASN1(&sealed, tag.SEQUENCE) ||
		!sealed.ReadASN1ObjectIdentifier(&id) || !id.Equal(oidData) || !sealed.ReadASN1(&algorithm, tag.SEQUENCE) ||
		!sealed.ReadASN1(&content, tag.Tag(0).ContextSpecific()) || !sealed.Empty() {
		return nil, ErrMalformed
	}
	return decrypt(algorithm, content, r.password, r.left)
}

// contents reads SafeContents.
func (r *reader) contents(b []byte) error { return r.each(b, r.bag) }

func (r *reader) bag(bag cryptobyte.String) error {
	var id asn1.ObjectIdentifier
	var value, attributes, element cryptobyte.String
	var has bool
	if !bag.ReadASN1ObjectIdentifier(&id) || !bag.ReadASN1(&value, tag.Tag(0).ContextSpecific().Constructed()) ||
		!bag.ReadOptionalASN1(&attributes, &has, tag.SET) || !bag.Empty() {
		return ErrMalformed
	}
	name, local, ok := bagAttributes(attributes)
	if !ok {
		return ErrMalformed
	}
	switch {
	case id.Equal(oidKeyBag), id.Equal(oidShroudedKey):
		if !value.ReadASN1Element(&element, tag.SEQUENCE) || !value.Empty() {
			return ErrMalformed
		}
		return r.key(id, element, name, local)
	case id.Equal(oidCertBag):
		return r.cert(value, local)
	}
	return nil // CRLs and secrets
}

func (r *reader) key(id asn1.ObjectIdentifier, b []byte, name string, local []byte) (err error) {
	var k Private
	if id.Equal(oidKeyBag) {
		k, err = parsePKCS8(b)
	} else {
		k, err = parseEncrypted(b, r.password, r.left)
	}
	if err != nil {
		return err
	}
	r.keys, r.keyID, r.name = append(r.keys, k), local, name
	return nil
}

func (r *reader) cert(value cryptobyte.String, local []byte) error {
	var bag, explicit, cert cryptobyte.String
	var id asn1.ObjectIdentifier
	if !value.ReadASN1(&bag, tag.SEQUENCE) || !value.Empty() || !bag.ReadASN1ObjectIdentifier(&id) ||
		!bag.ReadASN1(&explicit, tag.Tag(0).ContextSpecific().Constructed()) || !bag.Empty() ||
		!explicit.ReadASN1(&cert, tag.OCTET_STRING) || !explicit.Empty() {
		return ErrMalformed
	}
	if !id.Equal(oidX509Cert) {
		return ErrUnsupported
	}
	r.certs, r.certIDs = append(r.certs, cert), append(r.certIDs, local)
	return nil
}

// bundle puts the key's certificate first.
func (r *reader) bundle() (*Bundle, error) {
	if len(r.keys) != 1 {
		return nil, ErrUnsupported
	}
	own := -1
	for i, id := range r.certIDs {
		if own < 0 && len(id) > 0 && string(id) == string(r.keyID) {
			own = i
		}
	}
	if own > 0 {
		c := r.certs[own]
		copy(r.certs[1:own+1], r.certs[:own])
		r.certs[0] = c
	}
	return &Bundle{Name: r.name, Key: r.keys[0], Certificates: r.certs}, nil
}

// bagAttributes reads a friendly name and a local key's ID; others are left out.
func bagAttributes(set cryptobyte.String) (name string, local []byte, ok bool) {
	for !set.Empty() {
		var attribute, values, v cryptobyte.String
		var id asn1.ObjectIdentifier
		if !set.ReadASN1(&attribute, tag.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&id) || !attribute.ReadASN1(&values, tag.SET) {
			return "", nil, false
		}
		switch {
		case id.Equal(oidLocalKeyID):
			if !values.ReadASN1(&v, tag.OCTET_STRING) {
				return "", nil, false
			}
			local = v
		case id.Equal(oidFriendlyName):
			if !values.ReadASN1(&v, tag.Tag(30)) || len(v)%2 != 0 { // BMPString
				return "", nil, false
			}
			name = fromBMP(v)
		}
	}
	return name, local, true
}

func fromBMP(b []byte) string {
	u := make([]uint16, 0, len(b)/2)
	for ; len(b) > 1; b = b[2:] {
		u = append(u, binary.BigEndian.Uint16(b))
	}
	return string(utf16.Decode(u))
}
