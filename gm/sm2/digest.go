package sm2

import (
	"errors"

	"github.com/anole-os/anole/gm/sm3"
)

// errID is of an identity whose length has no place in 16 bits.
var errID = errors.New("sm2: an identity has at most 8191 bytes")

// curveBytes are a, b and the coordinates of G, as they are hashed with a key.
var curveBytes = func() (b [4 * 32]byte) {
	p := Curve().Params()
	a := b[:32]
	copy(a, p.P.Bytes())
	a[31] -= 3 // a is -3
	p.B.FillBytes(b[32:64])
	p.Gx.FillBytes(b[64:96])
	p.Gy.FillBytes(b[96:])
	return b
}()

// prefix is Z of a key and DefaultID.
type prefix [sm3.Size]byte

func prefixOf(pub *PublicKey) prefix {
	z, _ := identity(pub, []byte(DefaultID))
	return z
}

// identity is Z of GB/T 32918.2-2016, 5.5: what stands for the signer before a message.
func identity(pub *PublicKey, id []byte) ([sm3.Size]byte, error) {
	if len(id) > 0xffff/8 {
		return [sm3.Size]byte{}, errID
	}
	var room [2 + len(DefaultID) + len(curveBytes) + 64]byte
	b := append(room[:0], byte(len(id)*8>>8), byte(len(id)*8))
	b = append(b, id...)
	b = append(b, curveBytes[:]...)
	var xy [64]byte
	pub.X.FillBytes(xy[:32])
	pub.Y.FillBytes(xy[32:])
	return sm3.Sum(append(b, xy[:]...)), nil
}

// digest is Digest of a key whose prefix this is.
func (z *prefix) digest(pub *PublicKey, id, msg []byte) ([sm3.Size]byte, error) {
	own := *z
	if string(id) != DefaultID {
		var err error
		if own, err = identity(pub, id); err != nil {
			return own, err
		}
	}
	return follow(own, msg), nil
}

// follow is the hash of Z and a message.
func follow(z [sm3.Size]byte, msg []byte) (e [sm3.Size]byte) {
	if len(msg) <= 1024 { // sooner copied than written in pieces
		var room [sm3.Size + 1024]byte
		return sm3.Sum(append(append(room[:0], z[:]...), msg...))
	}
	h := sm3.New()
	_, _ = h.Write(z[:])
	_, _ = h.Write(msg)
	h.Sum(e[:0])
	return e
}

// Digest is what is signed of a message: SM3(Z || msg) of GB/T 32918.2, Z being of the
// signer's identity and key. The error is of an identity that is too long, or a key that
// is none.
func Digest(pub *PublicKey, id, msg []byte) ([]byte, error) {
	if _, _, ok := coordinates(pub); !ok {
		return nil, errPublic
	}
	e, err := messageDigest(pub, id, msg)
	if err != nil {
		return nil, err
	}
	return e[:], nil
}

// messageDigest is Digest of a key whose coordinates are bounded.
func messageDigest(pub *PublicKey, id, msg []byte) (e [sm3.Size]byte, err error) {
	z, err := identity(pub, id)
	if err != nil {
		return e, err
	}
	return follow(z, msg), nil
}
