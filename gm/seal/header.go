package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/internal/leave"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
)

// Kinds of stanzas.
const (
	kindPassword = 1
	kindSM2      = 2
)

const (
	saltLen   = 16
	idLen     = 8
	nonceLen  = 12
	wordBody  = 4 + saltLen + masterLen + tagLen
	stanzaLen = 3
)

// header writes the head of a file.
func header(ctx context.Context, master []byte, o *Options) ([]byte, error) {
	stanzas, err := wrap(ctx, master, o)
	if err != nil {
		return nil, err
	}
	b := append([]byte(magic), 1, defaultLog)
	b = binary.BigEndian.AppendUint16(b, uint16(len(stanzas)))
	b = append(b, stanzas...)
	mac, err := headerMAC(master, b)
	return append(b, mac...), err
}

func headerMAC(master, head []byte) ([]byte, error) {
	k, err := hkdf.Key(sm3.New, master, nil, "anole gm seal 1 header", sm3.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	defer clear(k)
	h := hmac.New(sm3.New, k)
	h.Write(head)
	return h.Sum(nil), nil
}

// wrap gives the master key to all who may open.
func wrap(ctx context.Context, master []byte, o *Options) (b []byte, err error) {
	if o.Iterations == 0 {
		o.Iterations = keys.Iterations
	}
	n := len(o.Recipients)
	if o.Password != nil {
		n++
	}
	switch {
	case n == 0:
		return nil, errors.New("neither a password nor a key to seal for")
	case n > maxStanzas:
		return nil, fmt.Errorf("%d recipients: at most %d", n, maxStanzas)
	case o.Iterations < 1000 || o.Iterations > keys.MaxIterations:
		return nil, fmt.Errorf("%d iterations: at least 1000 and at most %d", o.Iterations, keys.MaxIterations)
	}
	if o.Password != nil {
		body := make([]byte, 4+saltLen)
		binary.BigEndian.PutUint32(body, uint32(o.Iterations))
		if _, err := rng.Read(body[4:]); err != nil {
			return nil, err
		}
		aead, nonce, err := underWord(ctx, o.Password, body[4:], o.Iterations)
		if err != nil {
			return nil, err
		}
		b = stanza(b, kindPassword, aead.Seal(body, nonce, master, nil))
	}
	for _, pub := range o.Recipients {
		id, err := keyID(pub)
		if err != nil {
			return nil, err
		}
		wrapped, err := sm2.Encrypt(rng.Reader, pub, master, sm2.ASN1)
		if err != nil {
			return nil, fmt.Errorf("encrypt for a key: %w", err)
		}
		b = stanza(b, kindSM2, append(id, wrapped...))
	}
	return b, nil
}

func stanza(b []byte, kind byte, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, kind), uint16(len(body)))
	return append(b, body...)
}

// keyID gives a key's short name.
func keyID(pub *sm2.PublicKey) ([]byte, error) {
	if !sm2.IsPublicKey(pub) {
		return nil, errors.New("a key that is not of SM2")
	}
	b, err := keys.MarshalPublic(pub)
	if err != nil {
		return nil, err
	}
	sum := sm3.Sum(b)
	return sum[:idLen], nil
}

// underWord makes a cipher and its one nonce of a password, and leaves off when ctx is done.
func underWord(ctx context.Context, password, salt []byte, iterations int) (cipher.AEAD, []byte, error) {
	word, salt := string(password), bytes.Clone(salt) // the caller goes on with its own
	k, err := leave.Do(ctx, func() ([]byte, error) { return pbkdf2.Key(sm3.New, word, salt, iterations, sm4.KeySize+nonceLen) })
	if err != nil {
		return nil, nil, fmt.Errorf("make a key of the password: %w", err)
	}
	block, err := sm4.NewCipher(k[:sm4.KeySize])
	if err != nil {
		return nil, nil, err
	}
	clear(k[:sm4.KeySize])
	aead, err := cipher.NewGCM(block)
	return aead, k[sm4.KeySize:], err
}

// readHeader reads the head of a file and gives its master key and the size of its
// chunks.
func readHeader(ctx context.Context, r io.Reader, o *Opener) (master []byte, size int, err error) {
	head := make([]byte, headLen, headLen+256)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, 0, cut(err, ErrMalformed)
	}
	log, n := head[9], int(binary.BigEndian.Uint16(head[10:]))
	if string(head[:8]) != magic || head[8] != 1 || log < minLog || log > maxLog || n > maxKeys {
		return nil, 0, ErrMalformed
	}
	head = append(head, make([]byte, n+macLen)...)
	if _, err := io.ReadFull(r, head[headLen:]); err != nil {
		return nil, 0, cut(err, ErrDamaged)
	}
	stanzas, mac := head[headLen:headLen+n], head[headLen+n:]
	if master, err = unwrap(ctx, stanzas, o); err != nil {
		return nil, 0, err
	}
	want, err := headerMAC(master, head[:headLen+n])
	if err != nil {
		return nil, 0, err
	}
	if !hmac.Equal(mac, want) {
		return nil, 0, ErrDamaged
	}
	return master, 1 << log, nil
}

// cut says of an end that comes too early what else it would be.
func cut(err, what error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return what
	}
	return err
}

// one is a stanza.
type one struct {
	kind byte
	body []byte
}

// parse takes the stanzas apart, all of which must be of a known form.
func parse(b []byte) ([]one, error) {
	var all []one
	words := 0
	for len(b) > 0 {
		if len(b) < stanzaLen || len(all) == maxStanzas {
			return nil, ErrMalformed
		}
		kind, n := b[0], int(binary.BigEndian.Uint16(b[1:]))
		if b = b[stanzaLen:]; n > len(b) {
			return nil, ErrMalformed
		}
		body := b[:n]
		switch kind {
		case kindPassword:
			if words++; n != wordBody || words > 1 {
				return nil, ErrMalformed
			}
		case kindSM2:
			if n <= idLen || der.Check(body[idLen:]) != nil {
				return nil, ErrMalformed
			}
		default:
			return nil, ErrMalformed
		}
		all, b = append(all, one{kind, body}), b[n:]
	}
	return all, nil
}

// unwrap finds the master key.
func unwrap(ctx context.Context, b []byte, o *Opener) ([]byte, error) {
	all, err := parse(b)
	if err != nil {
		return nil, err
	}
	if o.Key != nil {
		return unwrapKey(all, o.Key)
	}
	for _, s := range all {
		if s.kind == kindPassword {
			return unwrapWord(ctx, s.body, o)
		}
	}
	return nil, ErrNoWord
}

func unwrapKey(all []one, key *sm2.PrivateKey) ([]byte, error) {
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.kind != kindSM2 || string(s.body[:idLen]) != string(id) {
			continue
		}
		master, err := sm2.Decrypt(key, s.body[idLen:], sm2.ASN1)
		if err != nil || len(master) != masterLen {
			return nil, ErrDamaged
		}
		return master, nil
	}
	return nil, ErrKey
}

func unwrapWord(ctx context.Context, body []byte, o *Opener) ([]byte, error) {
	most := o.most
	if most == 0 {
		most = keys.MaxIterations
	}
	iterations := int(binary.BigEndian.Uint32(body))
	if iterations < 1 || iterations > most {
		return nil, ErrWork
	}
	if o.Password == nil {
		return nil, keys.ErrNeeded
	}
	word, err := o.Password()
	if err != nil {
		return nil, err
	}
	defer clear(word)
	aead, nonce, err := underWord(ctx, word, body[4:4+saltLen], iterations)
	if err != nil {
		return nil, err
	}
	master, err := aead.Open(nil, nonce, body[4+saltLen:], nil)
	if err != nil {
		return nil, ErrPassword
	}
	return master, nil
}
