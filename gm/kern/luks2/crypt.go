package luks2

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/xts"

	"github.com/anole-os/anole/gm/internal/leave"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm4"
)

// Names of ciphers as dm-crypt has them.
const (
	SM4XTS = "sm4-xts-plain64"
	AESXTS = "aes-xts-plain64"
)

// sectors encrypts sectors of so many bytes in place, the first of which has that number,
// and each a number that is step higher.
type sectors interface {
	encrypt(b []byte, size int, number, step uint64)
	decrypt(b []byte, size int, number, step uint64)
}

type sm4Sectors struct{ x *sm4.XTS }

func (s sm4Sectors) encrypt(b []byte, size int, n, step uint64) {
	s.x.EncryptSectors(b, b, size, n, step)
}

func (s sm4Sectors) decrypt(b []byte, size int, n, step uint64) {
	s.x.DecryptSectors(b, b, size, n, step)
}

type aesSectors struct{ x *xts.Cipher }

func (s aesSectors) encrypt(b []byte, size int, n, step uint64) { each(s.x.Encrypt, b, size, n, step) }
func (s aesSectors) decrypt(b []byte, size int, n, step uint64) { each(s.x.Decrypt, b, size, n, step) }

func each(do func(dst, src []byte, number uint64), b []byte, size int, n, step uint64) {
	for ; len(b) > 0; b, n = b[size:], n+step {
		do(b[:size], b[:size], n)
	}
}

// keySizes are in bytes, the usual one first.
func keySizes(cipher string) []int {
	switch cipher {
	case SM4XTS:
		return []int{32}
	case AESXTS:
		return []int{64, 32}
	}
	return nil
}

// knows says whether there is a cipher with keys of so many bytes.
func knows(cipher string, size int) error {
	known := keySizes(cipher)
	if known == nil {
		return fmt.Errorf("cipher %q: %w: %s and %s are", cipher, ErrUnsupported, SM4XTS, AESXTS)
	}
	if !slices.Contains(known, size) {
		return fmt.Errorf("cipher %q: %w: a key of %d bytes", cipher, ErrUnsupported, size)
	}
	return nil
}

func newSectors(cipher string, key []byte) (sectors, error) {
	if err := knows(cipher, len(key)); err != nil {
		return nil, err
	}
	if cipher == SM4XTS {
		x, err := sm4.NewXTS(key)
		return sm4Sectors{x}, err
	}
	x, err := xts.NewCipher(aes.NewCipher, key)
	return aesSectors{x}, err
}

// derive makes a key of a passphrase, and leaves off when ctx is done. The KDF is validated.
func (k *KDF) derive(ctx context.Context, passphrase []byte, size int) ([]byte, error) {
	if err := k.affordable(); err != nil {
		return nil, err
	}
	own, kdf := bytes.Clone(passphrase), *k // which the caller may wipe
	return leave.Do(ctx, func() ([]byte, error) {
		defer clear(own)
		defer kdf.release()
		return kdf.compute(own, size)
	})
}

func (k *KDF) compute(passphrase []byte, size int) ([]byte, error) {
	switch k.Type {
	case "pbkdf2":
		h, err := hashNamed(k.Hash)
		if err != nil {
			return nil, err
		}
		return pbkdf2Key(h, passphrase, k.Salt, k.Iterations, size)
	case "argon2i":
		return argon2.Key(passphrase, k.Salt, uint32(k.Time), uint32(k.Memory), uint8(k.CPUs), uint32(size)), nil
	case "argon2id":
		return argon2.IDKey(passphrase, k.Salt, uint32(k.Time), uint32(k.Memory), uint8(k.CPUs), uint32(size)), nil
	}
	return nil, fmt.Errorf("key derivation %q: %w", k.Type, ErrUnsupported)
}

// pbkdf2Key is PBKDF2 of RFC 8018. What the standard library refuses where it is held to
// FIPS 140 is done here.
func pbkdf2Key(h func() hash.Hash, passphrase, salt []byte, rounds, size int) ([]byte, error) {
	return pbkdf2.Key(h, string(passphrase), salt, rounds, size)
}

// split spreads a key over stripes, all of which it takes to get it back: the format's
// AF splitter.
func split(h func() hash.Hash, key []byte) ([]byte, error) {
	out := make([]byte, len(key)*stripes)
	last := out[len(out)-len(key):]
	if err := noise(out[:len(out)-len(key)]); err != nil {
		return nil, err
	}
	mixed := mix(h, out, len(key))
	subtle.XORBytes(last, mixed, key)
	clear(mixed)
	return out, nil
}

// noise fills b with random bytes.
func noise(b []byte) error {
	if _, err := rng.Read(b); err != nil {
		return fmt.Errorf("draw random bytes: %w", err)
	}
	return nil
}

// merge is the opposite of split.
func merge(h func() hash.Hash, spread []byte) []byte {
	size := len(spread) / stripes
	key := mix(h, spread, size)
	subtle.XORBytes(key, key, spread[len(spread)-size:])
	return key
}

// mix runs through all stripes but the last.
func mix(h func() hash.Hash, spread []byte, size int) []byte {
	block := make([]byte, size)
	d := h()
	for at := 0; at < len(spread)-size; at += size {
		subtle.XORBytes(block, block, spread[at:at+size])
		diffuse(d, block)
	}
	return block
}

// diffuse hashes each piece of a digest's length with its number.
func diffuse(d hash.Hash, block []byte) {
	var sum [64]byte
	for i, at := 0, 0; at < len(block); i, at = i+1, at+d.Size() {
		piece := block[at:min(len(block), at+d.Size())]
		d.Reset()
		d.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
		d.Write(piece)
		copy(piece, d.Sum(sum[:0]))
	}
	clear(sum[:])
}

// is says whether a key is the digest's.
func (d *Digest) is(key []byte) (bool, error) {
	if d.Type != "pbkdf2" {
		return false, fmt.Errorf("digest of type %q: %w", d.Type, ErrUnsupported)
	}
	h, err := hashNamed(d.Hash)
	if err != nil {
		return false, err
	}
	sum, err := pbkdf2Key(h, key, d.Salt, d.Iterations, len(d.Digest))
	return err == nil && hmac.Equal(sum, d.Digest), err
}

// cryptArea encrypts or decrypts a slot's area, whose sectors count from 0.
func cryptArea(s sectors, b []byte, back bool) {
	if back {
		s.decrypt(b, slotSector, 0, 1)
	} else {
		s.encrypt(b, slotSector, 0, 1)
	}
}
