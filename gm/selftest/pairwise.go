package selftest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
)

var errPair = errors.New("the public key is not the private key's")

// Pairwise checks a key pair by what it makes: what it signs verifies, what is changed
// does not, what is encrypted to it it decrypts (GM/T 0028, 7.10.3). One that fails sets
// the error state.
func Pairwise(key *sm2.PrivateKey) error {
	err := consistent(key)
	if errors.Is(err, rng.ErrState) { // that is not the key's, and ends with the generator's own
		return fmt.Errorf("check key pair: %w", err)
	}
	if err != nil {
		Fail(pairwise, err)
		return fmt.Errorf("check key pair: %w", err)
	}
	return nil
}

func consistent(key *sm2.PrivateKey) error {
	id, msg := []byte(sm2.DefaultID), []byte("pairwise consistency")
	sig, err := sm2.NewSigner(key).SignWithID(rng.Reader, id, msg)
	switch {
	case errors.Is(err, rng.ErrState):
		return err
	case err != nil: // halves of two keys, or no key
		return fmt.Errorf("%w: %w", errPair, err)
	}
	if sm2.VerifyMessage(&key.PublicKey, id, msg, sig) != nil || sm2.VerifyMessage(&key.PublicKey, id, msg[1:], sig) == nil {
		return errPair
	}
	sealed, err := sm2.Encrypt(rng.Reader, &key.PublicKey, msg, sm2.ASN1)
	if err != nil {
		return err
	}
	if bytes.Contains(sealed, msg) {
		return errPair
	}
	text, err := sm2.Decrypt(key, sealed, sm2.ASN1)
	if err != nil || !bytes.Equal(text, msg) {
		return errPair
	}
	return nil
}
