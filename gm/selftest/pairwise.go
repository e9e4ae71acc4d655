package selftest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/rng"
	ours "github.com/anole-os/anole/gm/sm2"
)

var errPair = errors.New("the public key is not the private key's")

// Pairwise checks a key pair by what it makes: what it signs verifies, what is changed
// does not, what is encrypted to it it decrypts (GM/T 0028, 7.10.3). One that fails sets
// the error state.
func Pairwise(key *ours.PrivateKey) error {
	if err := consistent(key); err != nil {
		Fail(pairwise, err)
		return fmt.Errorf("check key pair: %w", err)
	}
	return nil
}

func consistent(key *ours.PrivateKey) error {
	id, msg := []byte(ours.DefaultID), []byte("pairwise consistency")
	sig, err := ours.NewSigner(key).SignWithID(rng.Reader, id, msg)
	if err != nil {
		return err
	}
	if ours.VerifyMessage(&key.PublicKey, id, msg, sig) != nil || ours.VerifyMessage(&key.PublicKey, id, msg[1:], sig) == nil {
		return errPair
	}
	sealed, err := sm2.Encrypt(rng.Reader, &key.PublicKey, msg, nil)
	if err != nil {
		return err
	}
	if bytes.Contains(sealed, msg) {
		return errPair
	}
	text, err := key.Decrypt(nil, sealed, nil)
	if err != nil || !bytes.Equal(text, msg) {
		return errPair
	}
	return nil
}
