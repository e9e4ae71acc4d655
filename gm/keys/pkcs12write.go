package keys

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // read in old files
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/sm3"
)

// MarshalPKCS12 gives a file of PKCS#12. Certificates and key are under PBES2 as e says;
// the MAC is RFC 7292's, of SM3 where e's PRF is, else of SHA-256.
func MarshalPKCS12(random io.Reader, bundle *Bundle, password []byte, e Encryption) ([]byte, error) {
	if bundle.Key == nil {
		return nil, errors.New("write PKCS#12: there is no key")
	}
	safe, err := writeSafe(random, bundle, password, e)
	if err != nil {
		return nil, fmt.Errorf("write PKCS#12: %w", err)
	}
	salt := make([]byte, 16)
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("write PKCS#12: %w", err)
	}
	id := oidSM3
	if e.PRF == SHA256 {
		id = oidSHA256
	}
	e, err = e.check()
	if err != nil {
		return nil, err
	}
	h := digestHash(id)
	mac := hmac.New(h, kdf12(h, bmp(password), salt, e.Iterations))
	mac.Write(safe)
	var b cryptobyte.Builder
	seq := func(b *cryptobyte.Builder, f cryptobyte.BuilderContinuation) { b.AddASN1(tag.SEQUENCE, f) }
	seq(&b, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		addData(b, safe)
		seq(b, func(b *cryptobyte.Builder) {
			seq(b, func(b *cryptobyte.Builder) {
				seq(b, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(id)
					b.AddASN1NULL()
				})
				b.AddASN1OctetString(mac.Sum(nil))
			})
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(int64(e.Iterations))
		})
	})
	return b.Bytes()
}

// addData adds a ContentInfo of the type data.
func addData(b *cryptobyte.Builder, content []byte) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidData)
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
	})
}

// writeSafe gives an AuthenticatedSafe: certificates under the password, then the key.
func writeSafe(random io.Reader, bundle *Bundle, password []byte, e Encryption) ([]byte, error) {
	public, err := MarshalPublic(bundle.Key.Public())
	if err != nil {
		return nil, err
	}
	sum := sm3.Sum(public)
	local := sum[:20]
	var certs cryptobyte.Builder
	certs.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		for i, c := range bundle.Certificates {
			id := local
			if i > 0 {
				id = nil
			}
			addCert(b, c, id)
		}
	})
	plain, err := certs.Bytes()
	if err != nil {
		return nil, err
	}
	algorithm, sealed, err := encrypt(random, plain, password, e)
	if err != nil {
		return nil, err
	}
	shrouded, err := EncryptPKCS8(random, bundle.Key, password, e)
	if err != nil {
		return nil, err
	}
	var key cryptobyte.Builder
	key.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		addBag(b, oidShroudedKey, bundle.Name, local, func(b *cryptobyte.Builder) { b.AddBytes(shrouded) })
	})
	keyBags, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		if len(bundle.Certificates) > 0 {
			addEncrypted(b, algorithm, sealed)
		}
		addData(b, keyBags)
	})
	return b.Bytes()
}

func addEncrypted(b *cryptobyte.Builder, algorithm, sealed []byte) {
	explicit := tag.Tag(0).ContextSpecific().Constructed()
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidEncryptedData)
		b.AddASN1(explicit, func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(0)
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidData)
					b.AddBytes(algorithm)
					b.AddASN1(tag.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(sealed) })
				})
			})
		})
	})
}

func addCert(b *cryptobyte.Builder, cert, local []byte) {
	explicit := tag.Tag(0).ContextSpecific().Constructed()
	addBag(b, oidCertBag, "", local, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidX509Cert)
			b.AddASN1(explicit, func(b *cryptobyte.Builder) { b.AddASN1OctetString(cert) })
		})
	})
}

func addBag(b *cryptobyte.Builder, id asn1.ObjectIdentifier, name string, local []byte, value cryptobyte.BuilderContinuation) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), value)
		if name == "" && local == nil {
			return
		}
		b.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
			if local != nil { // the shorter one first, as DER has sets
				addAttribute(b, oidLocalKeyID, func(b *cryptobyte.Builder) { b.AddASN1OctetString(local) })
			}
			if name != "" {
				addAttribute(b, oidFriendlyName, func(b *cryptobyte.Builder) {
					b.AddASN1(tag.Tag(30), func(b *cryptobyte.Builder) { b.AddBytes(toBMP(name)) })
				})
			}
		})
	})
}

func addAttribute(b *cryptobyte.Builder, id asn1.ObjectIdentifier, value cryptobyte.BuilderContinuation) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddASN1(tag.SET, value)
	})
}

func toBMP(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	return b
}

// bmp is a password as RFC 7292's appendix B.1 has it: UTF-16 with a zero behind.
func bmp(password []byte) []byte { return append(toBMP(string(password)), 0, 0) }

func digestHash(id asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case id.Equal(oidSM3):
		return sm3.New
	case id.Equal(oidSHA1):
		return sha1.New
	case id.Equal(oidSHA256):
		return sha256.New
	case id.Equal(oidSHA384):
		return sha512.New384
	case id.Equal(oidSHA512):
		return sha512.New
	}
	return nil
}

// kdf12 is RFC 7292's appendix B.2 for keys of MACs (ID 3) as long as the hash.
func kdf12(h func() hash.Hash, password, salt []byte, iterations int) []byte {
	f := h()
	v := f.BlockSize()
	in := make([]byte, v, 3*v)
	for i := range in {
		in[i] = 3
	}
	in = append(in, repeat(salt, v)...)
	in = append(in, repeat(password, v)...)
	f.Write(in)
	sum := f.Sum(nil)
	for range iterations - 1 {
		f.Reset()
		f.Write(sum)
		sum = f.Sum(sum[:0])
	}
	return sum
}

// repeat fills up to a multiple of v bytes.
func repeat(b []byte, v int) []byte {
	if len(b) == 0 {
		return nil
	}
	out := make([]byte, (len(b)+v-1)/v*v)
	for n := copy(out, b); n < len(out); {
		n += copy(out[n:], b)
	}
	return out
}
