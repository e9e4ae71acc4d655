package sm9

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	gmsm "github.com/emmansun/gmsm/sm9"

	"github.com/anole-os/anole/gm/internal/norandom"
	"github.com/anole-os/anole/gm/rng"
)

func hexed(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var alice, bob, msg = []byte("Alice"), []byte("Bob"), []byte("Chinese IBS standard")

// The example of part 5, annex A: of the master key comes Alice's, and her signature
// verifies. gmsm's own test has its examples of key exchange, encapsulation and encryption.
func TestExample(t *testing.T) {
	der, err := asn1.Marshal(new(big.Int).SetBytes(hexed(t, "0130E78459D78545CB54C587E02CF480CE0B66340F319F348A1D5B1F2DC5F4")))
	if err != nil {
		t.Fatal(err)
	}
	master, err := ParseSignMaster(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := master.GenerateUserKey(alice, ForSigning)
	if err != nil {
		t.Fatal(err)
	}
	if want := hexed(t, "04A5702F05CF1315305E2D6EB64B0DEB923DB1A0BCF0CAFF90523AC8754AA6982078559A844411F9825C109F5EE3F52D720DD01785392A727BB1556952B2B013D3"); !bytes.Equal(key.Bytes(), want) {
		t.Errorf("Alice's key: %x", key.Bytes())
	}
	signature, err := asn1.Marshal(struct {
		H []byte
		S asn1.BitString
	}{hexed(t, "823C4B21E4BD2DFE1ED92C606653E996668563152FC33F55D7BFBB9BD9705ADB"),
		asn1.BitString{Bytes: hexed(t, "0473BF96923CE58B6AD0E13E9643A406D8EB98417C50EF1B29CEF9ADB48B6D598C856712F1C2E0968AB7769F42A99586AED139D5B8B3E15891827CC2ACED9BAA05"), BitLength: 65 * 8}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(master.PublicKey(), alice, msg, signature); err != nil {
		t.Error(err)
	}
	if err := gmsm.SelfTest(); err != nil {
		t.Error(err)
	}
}

func TestSign(t *testing.T) {
	master, err := NewSignMaster()
	if err != nil {
		t.Fatal(err)
	}
	key, err := master.GenerateUserKey(alice, ForSigning)
	if err != nil {
		t.Fatal(err)
	}
	pub := master.PublicKey()
	key = again(t, key, func(b []byte) (*SignKey, error) { return ParseSignKey(b, pub) })
	pub = again(t, pub, ParseSignMasterPublic)
	signature, err := Sign(key, msg)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(pub, alice, msg, signature); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"name": Verify(pub, bob, msg, signature), "message": Verify(pub, alice, msg[1:], signature),
		"cut": Verify(pub, alice, msg, signature[1:]), "nothing": Verify(pub, alice, msg, nil),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	norandom.Break(t)
	if b, err := Sign(key, msg); !errors.Is(err, rng.ErrState) || b != nil {
		t.Errorf("without random bytes: %x, %v", b, err)
	}
	if _, err := NewSignMaster(); !errors.Is(err, rng.ErrState) {
		t.Errorf("without random bytes: %v", err)
	}
}

// again writes a key and reads it; cut off, it is none.
func again[K interface{ MarshalASN1() ([]byte, error) }](t *testing.T, key K, read func([]byte) (K, error)) K {
	t.Helper()
	b, err := key.MarshalASN1()
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := read(b[:n]); !errors.Is(err, ErrKey) {
			t.Errorf("%d bytes of %d: %v", n, len(b), err)
		}
	}
	if key, err = read(b); err != nil {
		t.Fatal(err)
	}
	return key
}

// users gives a master key and the keys of Alice and Bob.
func users(t testing.TB, purpose byte) (*EncryptMaster, *EncryptKey, *EncryptKey) {
	t.Helper()
	master, err := NewEncryptMaster()
	if err != nil {
		t.Fatal(err)
	}
	a, err := master.GenerateUserKey(alice, purpose)
	if err != nil {
		t.Fatal(err)
	}
	b, err := master.GenerateUserKey(bob, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return master, a, b
}

func TestEncrypt(t *testing.T) {
	master, a, b := users(t, ForEncryption)
	master = again(t, master, ParseEncryptMaster)
	b = again(t, b, func(der []byte) (*EncryptKey, error) {
		return ParseEncryptKey(der, again(t, master.PublicKey(), ParseEncryptMasterPublic))
	})
	sealed, err := Encrypt(master.PublicKey(), alice, msg)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decrypt(a, alice, sealed); err != nil || !bytes.Equal(got, msg) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Decrypt(b, bob, sealed); !errors.Is(err, ErrDecrypt) {
		t.Errorf("Bob reads %q, %v", got, err)
	}
	for at := range sealed {
		bad := bytes.Clone(sealed)
		bad[at] ^= 1
		if got, err := Decrypt(a, alice, bad); !errors.Is(err, ErrDecrypt) {
			t.Errorf("byte %d changed: %q, %v", at, got, err)
		}
	}
	key, capsule, err := Encapsulate(master.PublicKey(), bob, 32)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decapsulate(b, bob, capsule, 32); err != nil || !bytes.Equal(got, key) {
		t.Errorf("%x, %v, want %x", got, err, key)
	}
	if _, _, err := Encapsulate(master.PublicKey(), bob, -1); err == nil {
		t.Error("a key of less than nothing")
	}
	if _, err := Decapsulate(b, bob, capsule[1:], 32); !errors.Is(err, ErrDecrypt) {
		t.Error(err)
	}
}

func TestExchange(t *testing.T) {
	_, a, b := users(t, ForExchange)
	from, err := NewExchange(a, alice, bob, 16, true)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Destroy()
	to, err := NewExchange(b, bob, alice, 16, true)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Destroy()
	ra, err := from.InitKeyExchange(rng.Reader, ForExchange)
	if err != nil {
		t.Fatal(err)
	}
	rb, sb, err := to.RespondKeyExchange(rng.Reader, ForExchange, ra)
	if err != nil {
		t.Fatal(err)
	}
	one, sa, err := from.ConfirmResponder(rb, sb)
	if err != nil {
		t.Fatal(err)
	}
	other, err := to.ConfirmInitiator(sa)
	if err != nil || len(one) != 16 || !bytes.Equal(one, other) {
		t.Errorf("%x, %x, %v", one, other, err)
	}
}

// Nothing that anybody sends makes a panic.
func FuzzForeign(f *testing.F) {
	master, a, _ := users(f, ForEncryption)
	sealed, err := Encrypt(master.PublicKey(), alice, msg)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := NewSignMaster()
	if err != nil {
		f.Fatal(err)
	}
	pub, err := signer.PublicKey().MarshalASN1()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(pub)
	f.Add([]byte{})
	f.Add([]byte{0x30, 0})
	f.Add([]byte{0x30, 0x06, 0x04, 0, 0x03, 0x02, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Decrypt(a, alice, b)
		_, _ = Decapsulate(a, alice, b, 16)
		_ = Verify(signer.PublicKey(), alice, msg, b)
		_, _ = ParseSignMaster(b)
		_, _ = ParseSignMasterPublic(b)
		_, _ = ParseSignKey(b, signer.PublicKey())
		_, _ = ParseEncryptMaster(b)
		_, _ = ParseEncryptMasterPublic(b)
		_, _ = ParseEncryptKey(b, master.PublicKey())
	})
}
