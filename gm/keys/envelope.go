package keys

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	gmsm "github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm4"
)

var (
	oidSM4    = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104}
	oidSM4ECB = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 104, 1}
)

// Envelope gives a key to the holder of another: the DER of GB/T 35276-2017's
// SM2EnvelopedKey, in which a CA hands over a key of encryption. policy.Default is asked about
// SM2 and SM4; not about the mode ECB, which the form has and which hides a key of random bits
// as well as any.
func Envelope(random io.Reader, to *sm2.PublicKey, key *sm2.PrivateKey) ([]byte, error) {
	if err := ready("envelop key"); err != nil {
		return nil, err
	}
	if err := errors.Join(policy.CheckKey(policy.Encrypt, to, ""), policy.Check(policy.Encrypt, policy.SM4, policy.Params{})); err != nil {
		return nil, err
	}
	b, err := gmsm.MarshalEnvelopedPrivateKey(random, to, key)
	if err != nil {
		return nil, fmt.Errorf("envelop key: %w", err)
	}
	return b, nil
}

// maxEnvelope bounds an SM2EnvelopedKey: one has about 260 bytes.
const maxEnvelope = 1024

// OpenEnvelope reads what Envelope gave to the holder of key. The scalar inside may also
// have the 64 bytes of GM/T 0018's block, whose first half is zero. Whether it may be taken in,
// policy.Default is asked.
func OpenEnvelope(key *sm2.PrivateKey, b []byte) (*sm2.PrivateKey, error) {
	if err := ready("open envelope"); err != nil {
		return nil, err
	}
	if err := policy.Check(policy.Import, policy.SM2, policy.Params{}); err != nil {
		return nil, err
	}
	if len(b) > maxEnvelope || der.Check(b) != nil {
		return nil, ErrMalformed
	}
	var in, algorithm, wrapped cryptobyte.String
	var id asn1.ObjectIdentifier
	var public, sealed []byte
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) ||
		!bare(algorithm) || !in.ReadASN1Element(&wrapped, tag.SEQUENCE) || !in.ReadASN1BitStringAsBytes(&public) || !in.ReadASN1BitStringAsBytes(&sealed) || !in.Empty() {
		return nil, ErrMalformed
	}
	if !id.Equal(oidSM4) && !id.Equal(oidSM4ECB) {
		return nil, ErrUnsupported
	}
	pub, err := point(public)
	if err != nil {
		return nil, err
	}
	if len(sealed) != 32 && len(sealed) != 64 {
		return nil, ErrMalformed
	}
	secret, err := key.Decrypt(rng.Reader, wrapped, nil)
	if err != nil {
		return nil, ErrInvalid
	}
	scalar, err := unwrap(secret, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(scalar)
	k, err := sm2.NewPrivateKey(scalar)
	if err != nil || !k.PublicKey.Equal(pub) {
		return nil, ErrInvalid
	}
	return k, nil
}

// bare says whether an algorithm has no parameter left but NULL.
func bare(algorithm cryptobyte.String) bool {
	var null cryptobyte.String
	return algorithm.Empty() || algorithm.ReadASN1(&null, tag.NULL) && null.Empty() && algorithm.Empty()
}

// unwrap decrypts a scalar block by block.
func unwrap(secret, sealed []byte) ([]byte, error) {
	block, err := sm4.NewCipher(secret)
	if err != nil {
		return nil, ErrInvalid
	}
	plain := make([]byte, len(sealed))
	for i := 0; i < len(sealed); i += sm4.BlockSize {
		block.Decrypt(plain[i:], sealed[i:])
	}
	for len(plain) > 32 {
		if plain[0] != 0 {
			return nil, ErrInvalid
		}
		plain = plain[1:]
	}
	return plain, nil
}
