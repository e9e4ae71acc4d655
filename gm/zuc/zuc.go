package zuc

import (
	"crypto/cipher"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/zuc"

	"github.com/anole-os/anole/gm/policy"
)

// Sizes in bytes.
const (
	KeySize    = 16
	IVSize     = zuc.IVSize128
	MACSize    = 4 // of EIA
	KeySize256 = 32
	IVSize256  = zuc.IVSize256
)

var (
	errBits   = errors.New("zuc: a number of bits that the message does not have")
	errBearer = errors.New("zuc: a bearer has 5 bits, and a direction 1")
)

// asks asks policy.Default about an operation, and the self-tests.
func asks(op policy.Op, alg policy.Alg) error {
	if err := policy.Check(op, alg, policy.Params{}); err != nil {
		return err
	}
	return tested()
}

// New makes a key stream: GM/T 0001.1. The key has KeySize bytes and the IV IVSize.
func New(key, iv []byte) (cipher.Stream, error) {
	if len(key) != KeySize || len(iv) != IVSize {
		return nil, fmt.Errorf("zuc: a key of %d bytes and an IV of %d: %d and %d are", len(key), len(iv), KeySize, IVSize)
	}
	if err := asks(policy.Encrypt, policy.ZUC); err != nil {
		return nil, err
	}
	return zuc.NewCipher(key, iv)
}

// New256 makes a key stream of ZUC-256. The key has KeySize256 bytes and the IV IVSize256.
func New256(key, iv []byte) (cipher.Stream, error) {
	if len(key) != KeySize256 || len(iv) != IVSize256 {
		return nil, fmt.Errorf("zuc: a key of %d bytes and an IV of %d: %d and %d are", len(key), len(iv), KeySize256, IVSize256)
	}
	if err := asks(policy.Encrypt, policy.ZUC256); err != nil {
		return nil, err
	}
	return zuc.NewCipher(key, iv)
}

// Frame tells messages of mobile networks apart.
type Frame struct {
	Count     uint32
	Bearer    uint32 // 0 to 31
	Direction uint32 // 0 or 1
}

func (f Frame) check(key []byte) error {
	if f.Bearer > 31 || f.Direction > 1 {
		return errBearer
	}
	if len(key) != KeySize {
		return fmt.Errorf("zuc: a key of %d bytes: %d are", len(key), KeySize)
	}
	return nil
}

// EEA encrypts or decrypts the first bits of a message: GM/T 0001.2. What comes has all its
// bytes, of which the bits behind the last are zero.
func EEA(key []byte, f Frame, msg []byte, bits int) ([]byte, error) {
	if err := asks(policy.Encrypt, policy.ZUC); err != nil {
		return nil, err
	}
	return eea(key, f, msg, bits)
}

func eea(key []byte, f Frame, msg []byte, bits int) ([]byte, error) {
	if err := f.check(key); err != nil {
		return nil, err
	}
	if bits < 0 || bits > 8*len(msg) {
		return nil, errBits
	}
	s, err := zuc.NewEEACipher(key, f.Count, f.Bearer, f.Direction)
	if err != nil {
		return nil, err
	}
	out := make([]byte, (bits+7)/8)
	s.XORKeyStream(out, msg[:len(out)])
	if n := bits % 8; n > 0 {
		out[len(out)-1] &= 0xff << (8 - n)
	}
	return out, nil
}

// EIA is the MAC, of MACSize bytes, of the first bits of a message: GM/T 0001.3.
func EIA(key []byte, f Frame, msg []byte, bits int) ([]byte, error) {
	if err := asks(policy.MAC, policy.ZUC); err != nil {
		return nil, err
	}
	return eia(key, f, msg, bits)
}

func eia(key []byte, f Frame, msg []byte, bits int) ([]byte, error) {
	if err := f.check(key); err != nil {
		return nil, err
	}
	if bits < 0 || bits > 8*len(msg) {
		return nil, errBits
	}
	h, err := zuc.NewEIAHash(key, f.Count, f.Bearer, f.Direction)
	if err != nil {
		return nil, err
	}
	return h.Finish(msg, bits), nil
}

// MAC256 is ZUC-256's MAC, of 4, 8 or 16 bytes, of the first bits of a message. The key has
// KeySize256 bytes and the IV IVSize256.
func MAC256(key, iv []byte, size int, msg []byte, bits int) ([]byte, error) {
	if err := asks(policy.MAC, policy.ZUC256); err != nil {
		return nil, err
	}
	return mac256(key, iv, size, msg, bits)
}

func mac256(key, iv []byte, size int, msg []byte, bits int) ([]byte, error) {
	if bits < 0 || bits > 8*len(msg) {
		return nil, errBits
	}
	h, err := zuc.NewHash256(key, iv, size)
	if err != nil {
		return nil, err
	}
	return h.Finish(msg, bits), nil
}
