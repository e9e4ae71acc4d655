package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // read in old files
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/asn1"
	"fmt"
	"hash"
	"io"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
)

// Iterations is how many of PBKDF2 are written; MaxIterations how many one file may ask
// for in all, which takes seconds.
const (
	Iterations    = 600_000
	MaxIterations = 10_000_000
)

// Cipher is what encrypts under a password.
type Cipher int

// Ciphers that are written. AES of 128 and 192 bits is read beside them.
const (
	SM4 Cipher = iota
	AES256
)

// PRF is what makes a key of a password.
type PRF int

// PRFs that are written. SM3 has the identifier of GM/T 0091, which gmsm and GmSSL read;
// SM3OpenSSL has another for the same, which OpenSSL from 3.5 on reads. SHA256 is read by
// all. Here all are read, and SHA-1, SHA-384 and SHA-512 beside them.
const (
	SM3 PRF = iota
	SM3OpenSSL
	SHA256
)

// Encryption is how to write under a password. The zero value is SM4-CBC with
// PBKDF2-HMAC-SM3 of Iterations.
type Encryption struct {
	Cipher     Cipher
	PRF        PRF
	Iterations int // 0 is Iterations
}

// check fills in what is not said, and asks policy.Default and selftest.OK.
func (e Encryption) check() (Encryption, error) {
	if e.Iterations == 0 {
		e.Iterations = Iterations
	}
	if e.Iterations < 1000 || e.Iterations > MaxIterations {
		return e, fmt.Errorf("encrypt under a password: %d iterations: at least 1000 and at most %d", e.Iterations, MaxIterations)
	}
	if e.Cipher < SM4 || e.Cipher > AES256 || e.PRF < SM3 || e.PRF > SHA256 {
		return e, fmt.Errorf("encrypt under a password: %w", ErrUnsupported)
	}
	alg, mac := policy.SM4, policy.HMACSM3
	if e.Cipher == AES256 {
		alg = policy.AES256
	}
	if e.PRF == SHA256 {
		mac = policy.HMACSHA256
	}
	if err := policy.Check(policy.Encrypt, alg, policy.Params{Mode: "cbc"}); err != nil {
		return e, err
	}
	if err := policy.Check(policy.MAC, mac, policy.Params{}); err != nil {
		return e, err
	}
	return e, ready("encrypt under a password")
}

// Check asks whether policy.Default lets keys be written so, before there is anything to
// write.
func (e Encryption) Check() error {
	_, err := e.check()
	return err
}

// budget is how many iterations are left.
type budget int

func (b *budget) take(n int) error {
	if n < 1 || n > int(*b) {
		return ErrWork
	}
	*b -= budget(n)
	return nil
}

// EncryptPKCS8 gives the DER of a key's EncryptedPrivateKeyInfo, if policy.Default and
// selftest.OK let it.
func EncryptPKCS8(random io.Reader, key Private, password []byte, e Encryption) ([]byte, error) {
	plain, err := MarshalPKCS8(key)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return encryptInfo(random, plain, password, e)
}

func encryptInfo(random io.Reader, plain, password []byte, e Encryption) ([]byte, error) {
	algorithm, sealed, err := encrypt(random, plain, password, e)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(algorithm)
		b.AddASN1OctetString(sealed)
	})
	return b.Bytes()
}

// ParseEncryptedPKCS8 reads the DER of an EncryptedPrivateKeyInfo. Whether the key may be
// taken in, policy.Default is asked; the algorithms that it was under may be any.
func ParseEncryptedPKCS8(b, password []byte) (Private, error) {
	if err := ready("read key"); err != nil {
		return nil, err
	}
	return taken(openPKCS8(b, password))
}

func openPKCS8(b, password []byte) (Private, error) {
	left := budget(MaxIterations)
	return parseEncrypted(b, password, &left)
}

func parseEncrypted(b, password []byte, left *budget) (Private, error) {
	if der.Check(b) != nil {
		return nil, ErrMalformed
	}
	var in, algorithm, sealed cryptobyte.String
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1(&algorithm, tag.SEQUENCE) || !in.ReadASN1(&sealed, tag.OCTET_STRING) || !in.Empty() {
		return nil, ErrMalformed
	}
	plain, err := decrypt(algorithm, sealed, password, left)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	key, err := parsePKCS8(plain)
	if err == ErrMalformed {
		return nil, ErrPassword // padding that fits by chance
	}
	return key, err
}

// encrypt gives an AlgorithmIdentifier of PBES2 and what it makes of plain.
func encrypt(random io.Reader, plain, password []byte, e Encryption) (algorithm, sealed []byte, err error) {
	if e, err = e.check(); err != nil {
		return nil, nil, err
	}
	var fresh [32]byte // salt and IV
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nil, nil, fmt.Errorf("encrypt under a password: %w", err)
	}
	salt, iv := fresh[:16], fresh[16:]
	scheme, prf := oidSM4CBC, oidHMACSM3
	if e.Cipher == AES256 {
		scheme = oidAES256
	}
	switch e.PRF {
	case SM3OpenSSL:
		prf = oidHMACSM31
	case SHA256:
		prf = oidHMAC256
	}
	block, err := derive(scheme, prf, password, salt, e.Iterations)
	if err != nil {
		return nil, nil, err
	}
	pad := 16 - len(plain)%16
	sealed = append(make([]byte, 0, len(plain)+pad), plain...)
	for range pad {
		sealed = append(sealed, byte(pad))
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	algorithm, err = identifyPBES2(scheme, prf, salt, iv, e.Iterations)
	return algorithm, sealed, err
}

func identifyPBES2(scheme, prf asn1.ObjectIdentifier, salt, iv []byte, iterations int) ([]byte, error) {
	var b cryptobyte.Builder
	seq := func(b *cryptobyte.Builder, f cryptobyte.BuilderContinuation) { b.AddASN1(tag.SEQUENCE, f) }
	seq(&b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidPBES2)
		seq(b, func(b *cryptobyte.Builder) {
			seq(b, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidPBKDF2)
				seq(b, func(b *cryptobyte.Builder) {
					b.AddASN1OctetString(salt)
					b.AddASN1Int64(int64(iterations))
					seq(b, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(prf)
						b.AddASN1NULL()
					})
				})
			})
			seq(b, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(scheme)
				b.AddASN1OctetString(iv)
			})
		})
	})
	return b.Bytes()
}

// decrypt opens what is under an AlgorithmIdentifier (its content, without its header) of
// PBES2.
func decrypt(algorithm cryptobyte.String, sealed, password []byte, left *budget) ([]byte, error) {
	var id, scheme asn1.ObjectIdentifier
	var params, kdf, enc, iv cryptobyte.String
	if !algorithm.ReadASN1ObjectIdentifier(&id) {
		return nil, ErrMalformed
	}
	if !id.Equal(oidPBES2) && !id.Equal(oidSMPBES) {
		return nil, ErrUnsupported
	}
	if !algorithm.ReadASN1(&params, tag.SEQUENCE) || !algorithm.Empty() || !params.ReadASN1(&kdf, tag.SEQUENCE) ||
		!params.ReadASN1(&enc, tag.SEQUENCE) || !params.Empty() || !enc.ReadASN1ObjectIdentifier(&scheme) {
		return nil, ErrMalformed
	}
	if keySize(scheme) == 0 {
		return nil, ErrUnsupported
	}
	if !enc.ReadASN1(&iv, tag.OCTET_STRING) || !enc.Empty() || len(iv) != 16 || len(sealed) == 0 || len(sealed)%16 != 0 {
		return nil, ErrMalformed
	}
	p, err := parsePBKDF2(kdf, keySize(scheme))
	if err != nil {
		return nil, err
	}
	if err := left.take(p.iterations); err != nil {
		return nil, err
	}
	block, err := derive(scheme, p.prf, password, p.salt, p.iterations)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	return unpad(plain)
}

// pbkdf is PBKDF2's parameters.
type pbkdf struct {
	prf        asn1.ObjectIdentifier
	salt       []byte
	iterations int
}

// parsePBKDF2 reads an AlgorithmIdentifier's content for keys of a size.
func parsePBKDF2(kdf cryptobyte.String, size int) (p pbkdf, err error) {
	var id asn1.ObjectIdentifier
	var params, salt, prf cryptobyte.String
	if !kdf.ReadASN1ObjectIdentifier(&id) {
		return p, ErrMalformed
	}
	if !id.Equal(oidPBKDF2) && !id.Equal(oidSMPBKDF) {
		return p, ErrUnsupported
	}
	if !kdf.ReadASN1(&params, tag.SEQUENCE) || !kdf.Empty() || !params.ReadASN1(&salt, tag.OCTET_STRING) || len(salt) > 1024 {
		return p, ErrMalformed
	}
	if !params.ReadASN1Integer(&p.iterations) {
		return p, ErrWork // it may be of any size
	}
	if params.PeekASN1Tag(tag.INTEGER) {
		var n int
		if !params.ReadASN1Integer(&n) || n != size {
			return p, ErrMalformed
		}
	}
	p.salt, p.prf = salt, oidHMACSHA1
	if id.Equal(oidSMPBKDF) {
		p.prf = oidHMACSM3
	}
	var has bool
	if !params.ReadOptionalASN1(&prf, &has, tag.SEQUENCE) || !params.Empty() || has && !prf.ReadASN1ObjectIdentifier(&p.prf) {
		return p, ErrMalformed
	}
	if prfHash(p.prf) == nil {
		return p, ErrUnsupported
	}
	return p, nil
}

func keySize(scheme asn1.ObjectIdentifier) int {
	switch {
	case scheme.Equal(oidSM4CBC), scheme.Equal(oidAES128):
		return 16
	case scheme.Equal(oidAES192):
		return 24
	case scheme.Equal(oidAES256):
		return 32
	}
	return 0
}

func prfHash(prf asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case prf.Equal(oidHMACSM3), prf.Equal(oidHMACSM31):
		return sm3.New
	case prf.Equal(oidHMACSHA1):
		return sha1.New
	case prf.Equal(oidHMAC256):
		return sha256.New
	case prf.Equal(oidHMAC384):
		return sha512.New384
	case prf.Equal(oidHMAC512):
		return sha512.New
	}
	return nil
}

func derive(scheme, prf asn1.ObjectIdentifier, password, salt []byte, iterations int) (cipher.Block, error) {
	key, err := pbkdf2.Key(prfHash(prf), string(password), salt, iterations, keySize(scheme))
	if err != nil {
		return nil, fmt.Errorf("make a key of the password: %w", err)
	}
	defer clear(key)
	if scheme.Equal(oidSM4CBC) {
		return sm4.NewCipher(key)
	}
	return aes.NewCipher(key)
}

// unpad takes PKCS#7's padding off, in constant time.
func unpad(b []byte) ([]byte, error) {
	n := int(b[len(b)-1])
	ok := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, 16)
	for i := 1; i <= 16; i++ {
		in := subtle.ConstantTimeLessOrEq(i, n)
		ok &= subtle.ConstantTimeByteEq(b[len(b)-i], byte(n)) | (1 - in)
	}
	if ok == 0 {
		return nil, ErrPassword
	}
	return b[:len(b)-n], nil
}
