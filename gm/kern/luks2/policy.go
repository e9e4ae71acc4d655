package luks2

import (
	"cmp"

	"github.com/anole-os/anole/gm/policy"
)

// Check asks whether policy.Default lets a container be made so, before there is a file to
// make it in. Names that are not known here are Format's to refuse.
func (o Options) Check() error {
	if err := cipherAllowed(policy.Encrypt, cmp.Or(o.Cipher, SM4XTS), o.KeySize); err != nil {
		return err
	}
	if err := hashAllowed(cmp.Or(o.Hash, "sm3")); err != nil {
		return err
	}
	return o.Slot.Check()
}

// Check asks whether policy.Default lets a passphrase be kept so.
func (o SlotOptions) Check() error {
	o.KDF.defaults()
	if err := hashAllowed(cmp.Or(o.Hash, "sm3")); err != nil {
		return err
	}
	derives := o.KDF.Hash
	if o.KDF.Type != "pbkdf2" {
		derives = o.KDF.Type
	}
	if err := hashAllowed(derives); err != nil {
		return err
	}
	return cipherAllowed(policy.Encrypt, o.Cipher, 0)
}

// Check asks whether policy.Default lets the volumes of a container be read (policy.Decrypt)
// or written (policy.Encrypt). How its key slots are made does not count: a key of SM4 that
// was kept under AES is taken still.
func (c *Container) Check(op policy.Op) error {
	for _, s := range c.meta.segments {
		if err := cipherAllowed(op, s.Encryption, 0); err != nil {
			return err
		}
	}
	return nil
}

// hashAllowed asks about a hash, or what Argon2 is made of.
func hashAllowed(name string) error {
	alg := map[string]policy.Alg{"sm3": policy.SM3, "sha256": policy.SHA256, "sha512": policy.SHA512, "argon2i": policy.BLAKE2b, "argon2id": policy.BLAKE2b}[name]
	if alg == "" {
		return nil
	}
	return policy.Check(policy.Hash, alg, policy.Params{})
}

// cipherAllowed asks about a cipher with a key of so many bytes, 0 being its usual one. XTS
// has two keys.
func cipherAllowed(op policy.Op, name string, size int) error {
	alg := map[string]policy.Alg{SM4XTS: policy.SM4, AESXTS: policy.AES256}[name]
	switch {
	case alg == "":
		return nil
	case alg == policy.AES256 && size == 32:
		alg = policy.AES128
	}
	return policy.Check(op, alg, policy.Params{Mode: "xts"})
}
