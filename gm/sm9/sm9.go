package sm9

import (
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm9"

	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
)

// What a user's key is for, as part 5 has it in its examples: a byte that goes into it.
const (
	ForSigning    = 1
	ForExchange   = 2
	ForEncryption = 3
)

// SignMaster is a master key for signing. MarshalASN1 is a method of each kind of key, and
// Parse… reads what it gives.
type SignMaster = sm9.SignMasterPrivateKey

// SignMasterPublic is its public half.
type SignMasterPublic = sm9.SignMasterPublicKey

// SignKey is a user's.
type SignKey = sm9.SignPrivateKey

// EncryptMaster is a master key for encryption and key exchange.
type EncryptMaster = sm9.EncryptMasterPrivateKey

// EncryptMasterPublic is its public half.
type EncryptMasterPublic = sm9.EncryptMasterPublicKey

// EncryptKey is a user's.
type EncryptKey = sm9.EncryptPrivateKey

// Errors towards who sent something.
var (
	ErrSignature = errors.New("sm9: the signature is wrong")
	ErrDecrypt   = errors.New("sm9: it does not decrypt")
)

var errLength = errors.New("sm9: a key has 1 to 4096 bytes")

const maxKey = 4096

// asks asks policy.Default about an operation, and the self-tests.
func asks(op policy.Op) error {
	if err := policy.Check(op, policy.SM9, policy.Params{}); err != nil {
		return err
	}
	return tested()
}

// NewSignMaster makes a master key for signing; its GenerateUserKey(name, ForSigning) makes
// those of users.
func NewSignMaster() (*SignMaster, error) {
	if err := asks(policy.Generate); err != nil {
		return nil, err
	}
	return sm9.GenerateSignMasterKey(rng.Reader)
}

// NewEncryptMaster makes a master key for encryption and key exchange; its
// GenerateUserKey(name, ForEncryption) or, for exchange, (name, ForExchange) makes those of
// users.
func NewEncryptMaster() (*EncryptMaster, error) {
	if err := asks(policy.Generate); err != nil {
		return nil, err
	}
	return sm9.GenerateEncryptMasterKey(rng.Reader)
}

// Sign signs a message: 6.2 of part 2. The signature is in DER.
func Sign(key *SignKey, msg []byte) ([]byte, error) {
	if err := asks(policy.Sign); err != nil {
		return nil, err
	}
	if key == nil {
		return nil, ErrKey
	}
	b, err := sm9.SignASN1(rng.Reader, key, msg)
	if err != nil {
		return nil, fmt.Errorf("sign with SM9: %w", err)
	}
	return b, nil
}

// Verify checks a signature in DER by a name: 6.4 of part 2. The error is
// ErrSignature, or ErrKey without a master.
func Verify(master *SignMasterPublic, name, msg, signature []byte) error {
	if err := asks(policy.Verify); err != nil {
		return err
	}
	if master == nil {
		return ErrKey
	}
	return verify(master, name, msg, signature)
}

func verify(master *SignMasterPublic, name, msg, signature []byte) error {
	if !sm9.VerifyASN1(master, name, ForSigning, msg, signature) {
		return ErrSignature
	}
	return nil
}

// Encrypt encrypts a message of 1 byte or more for a name: part 4, with the key stream of its
// key derivation. The ciphertext is in DER.
func Encrypt(master *EncryptMasterPublic, name, msg []byte) ([]byte, error) {
	if err := asks(policy.Encrypt); err != nil {
		return nil, err
	}
	if master == nil {
		return nil, ErrKey
	}
	b, err := sm9.EncryptASN1(rng.Reader, master, name, ForEncryption, msg, sm9.DefaultEncrypterOpts)
	if err != nil {
		return nil, fmt.Errorf("encrypt with SM9: %w", err)
	}
	return b, nil
}

// Decrypt decrypts what Encrypt made for a name. The error is ErrDecrypt.
func Decrypt(key *EncryptKey, name, ciphertext []byte) ([]byte, error) {
	if err := asks(policy.Decrypt); err != nil {
		return nil, err
	}
	if key == nil {
		return nil, ErrKey
	}
	return decrypt(key, name, ciphertext)
}

func decrypt(key *EncryptKey, name, ciphertext []byte) ([]byte, error) {
	b, err := sm9.DecryptASN1(key, name, ciphertext)
	if err != nil {
		return nil, ErrDecrypt
	}
	return b, nil
}

// Encapsulate makes a key of 1 to 4096 bytes and, in ASN.1, what gives it to a name: part 4.
func Encapsulate(master *EncryptMasterPublic, name []byte, size int) (key, sealed []byte, err error) {
	if err := asks(policy.Encrypt); err != nil {
		return nil, nil, err
	}
	if master == nil {
		return nil, nil, ErrKey
	}
	if size < 1 || size > maxKey {
		return nil, nil, errLength
	}
	key, sealed, err = master.WrapKey(rng.Reader, name, ForEncryption, size)
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulate with SM9: %w", err)
	}
	return key, sealed, nil
}

// Decapsulate gives the key, of as many bytes, that Encapsulate made for a name. The error is
// ErrDecrypt.
func Decapsulate(key *EncryptKey, name, sealed []byte, size int) ([]byte, error) {
	if err := asks(policy.Decrypt); err != nil {
		return nil, err
	}
	if key == nil {
		return nil, ErrKey
	}
	if size < 1 || size > maxKey {
		return nil, errLength
	}
	b, err := key.UnwrapKey(name, sealed, size)
	if err != nil {
		return nil, ErrDecrypt
	}
	return b, nil
}

// Exchange is one side of a key exchange: part 3. A begins with InitKeyExchange, B answers
// with RespondKeyExchange, A ends it with ConfirmResponder, B with ConfirmInitiator. Their
// random is rng.Reader, and their hid ForExchange. Destroy wipes it.
type Exchange = sm9.KeyExchange

// NewExchange makes a side, for a key of 1 to 4096 bytes: with who this is and who the
// other. Where confirm is true, each side proves to the other that it has the key.
func NewExchange(key *EncryptKey, name, peer []byte, size int, confirm bool) (Exchange, error) {
	if err := asks(policy.Agree); err != nil {
		return nil, err
	}
	if key == nil {
		return nil, ErrKey
	}
	if size < 1 || size > maxKey {
		return nil, errLength
	}
	return key.NewKeyExchange(name, peer, size, confirm), nil
}
