package sm9

import (
	"errors"

	"github.com/emmansun/gmsm/sm9"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/policy"
)

// ErrKey is of bytes that are no key of SM9 in DER, and of a key that is nil.
var ErrKey = errors.New("sm9: not a key in DER")

// read is parse, if policy.Default lets the key be taken in.
func read[K any](by func([]byte) (*K, error), b []byte) (*K, error) {
	if err := asks(policy.Import); err != nil {
		return nil, err
	}
	return parse(by, b)
}

// parse calls one of gmsm's readers, of which some panic where bytes are missing.
func parse[K any](read func([]byte) (*K, error), b []byte) (key *K, err error) {
	defer func() {
		if recover() != nil {
			key, err = nil, ErrKey
		}
	}()
	if der.Check(b) != nil {
		return nil, ErrKey
	}
	if key, err = read(b); err != nil || key == nil {
		return nil, ErrKey
	}
	return key, nil
}

// ParseSignMaster reads a master key.
func ParseSignMaster(b []byte) (*SignMaster, error) {
	return read(sm9.UnmarshalSignMasterPrivateKeyASN1, b)
}

// ParseSignMasterPublic reads the public half of one.
func ParseSignMasterPublic(b []byte) (*SignMasterPublic, error) {
	return read(sm9.UnmarshalSignMasterPublicKeyASN1, b)
}

// ParseSignKey reads a user's key, which does not have the master's public half with it.
func ParseSignKey(b []byte, master *SignMasterPublic) (*SignKey, error) {
	k, err := read(sm9.UnmarshalSignPrivateKeyASN1, b)
	if err != nil {
		return nil, err
	}
	if master == nil {
		return nil, ErrKey
	}
	k.SetMasterPublic(master)
	return k, nil
}

// ParseEncryptMaster reads a master key.
func ParseEncryptMaster(b []byte) (*EncryptMaster, error) {
	return read(sm9.UnmarshalEncryptMasterPrivateKeyASN1, b)
}

// ParseEncryptMasterPublic reads the public half of one.
func ParseEncryptMasterPublic(b []byte) (*EncryptMasterPublic, error) {
	return read(sm9.UnmarshalEncryptMasterPublicKeyASN1, b)
}

// ParseEncryptKey reads a user's key, which does not have the master's public half with it.
func ParseEncryptKey(b []byte, master *EncryptMasterPublic) (*EncryptKey, error) {
	k, err := read(sm9.UnmarshalEncryptPrivateKeyASN1, b)
	if err != nil {
		return nil, err
	}
	if master == nil {
		return nil, ErrKey
	}
	k.SetMasterPublic(master)
	return k, nil
}
