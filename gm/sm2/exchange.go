package sm2

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/anole-os/anole/gm/sm3"
)

// Errors of a key exchange. ErrExchange is of what the other side sent, whatever is wrong
// with it.
var (
	ErrExchange  = errors.New("sm2: key exchange failed")
	errKeyLength = errors.New("sm2: an exchange gives a key of 1 to 65536 bytes")
	errRole      = errors.New("sm2: no such role in an exchange, want Initiator or Responder")
	errStep      = errors.New("sm2: an exchange goes once, and in its order: Begin, Agree, Check if the two confirm, Key")
)

// longestKey is in bytes.
const longestKey = 1 << 16

// Role is a side of a key exchange.
type Role int

// The roles, A and B of the standard. The two sides must have different ones.
const (
	Initiator Role = iota
	Responder
)

// Exchange is one key exchange of GB/T 32918.3-2016, of one side, and of one use: both
// have a key and an identity, and know the other's. A step that fails ends it, and what
// was secret in it is wiped. It is for one goroutine.
//
// Both call Begin and send what it gives, then Agree with what the other sent. That gives a
// confirmation, which is optional: where the two use it, the responder sends its one with
// its point, and the initiator its own after Check; then Key. Without Check, that the keys
// are equal shows in what is done with them.
type Exchange struct {
	role   Role
	length int
	static words // d
	own    [sm3.Size]byte
	other  [sm3.Size]byte
	peer   *PublicKey
	at     stage

	scalar words           // r
	point  [pointSize]byte // R
	key    []byte
	want   [sm3.Size]byte // the other's confirmation
}

// stage is the one that comes next.
type stage int

const (
	begin stage = iota
	agree
	take // Check, or Key
	over
)

// NewExchange makes one of a key and its identity, and the other side's, that gives a key
// of length bytes. The errors are of keys that are none, and of identities and lengths
// that are too long.
func NewExchange(key *PrivateKey, id []byte, peer *PublicKey, peerID []byte, length int, role Role) (*Exchange, error) {
	switch {
	case !isPrivateKey(key):
		return nil, errKey
	case length < 1 || length > longestKey:
		return nil, errKeyLength
	case role != Initiator && role != Responder:
		return nil, errRole
	}
	if _, _, ok := coordinates(peer); !ok {
		return nil, errPublic
	}
	e := &Exchange{role: role, length: length, peer: clone(peer)}
	var err error
	if e.own, err = identity(&key.PublicKey, id); err != nil {
		return nil, err
	}
	if e.other, err = identity(peer, peerID); err != nil {
		return nil, err
	}
	var b [32]byte
	e.static = wordsOf(key.D.FillBytes(b[:]))
	clear(b[:])
	return e, nil
}

// Begin draws a scalar and gives its point, 04 x y, that is to be sent: A1 to A3, B1 to B3.
// The error is random's, which is crypto/rand's where it is nil.
func (e *Exchange) Begin(random io.Reader) (point []byte, err error) {
	if err := e.enter(begin); err != nil {
		return nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	var b [32]byte
	defer clear(b[:])
	for range draws {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			e.Close()
			return nil, fmt.Errorf("read random bytes: %w", err)
		}
		if e.scalar = wordsOf(b[:]); inRange(&e.scalar) {
			x, y := Curve().ScalarBaseMult(b[:]) //nolint:staticcheck // in constant time, by gmsm's assembly
			putPoint(&e.point, x, y)
			e.at = agree
			return append([]byte(nil), e.point[:]...), nil
		}
	}
	e.Close()
	return nil, errNonces
}

// Agree takes the point that the other side sent, 04 x y, and gives the confirmation that
// is this one's to send, if the two confirm: S_B of the responder, S_A of the initiator.
// The error is ErrExchange.
func (e *Exchange) Agree(point []byte) (confirmation []byte, err error) {
	if err := e.enter(agree); err != nil {
		return nil, err
	}
	theirs, err := NewPublicKey(point)
	if err != nil || len(point) != pointSize {
		e.Close()
		return nil, ErrExchange
	}
	var xy [64]byte
	defer clear(xy[:])
	if !e.shared(&xy, theirs) {
		e.Close()
		return nil, ErrExchange
	}
	first, second := e.point[1:], point[1:]
	za, zb := &e.own, &e.other
	if e.role == Responder {
		first, second, za, zb = second, first, zb, za
	}
	z := append(append(append(make([]byte, 0, 128), xy[:]...), za[:]...), zb[:]...)
	e.key = sm3.KDF(z, e.length)
	inner := sm3.Sum(append(append(append(append([]byte(nil), xy[:32]...), z[64:]...), first...), second...))
	clear(z)
	sb, sa := confirm(2, &xy, &inner), confirm(3, &xy, &inner)
	clear(e.scalar[:])
	clear(e.static[:])
	e.at = take
	if e.role == Responder {
		e.want = sa
		return sb[:], nil
	}
	e.want = sb
	return sa[:], nil
}

// confirm is a side's confirmation, A9 and B8.
func confirm(side byte, xy *[64]byte, inner *[sm3.Size]byte) [sm3.Size]byte {
	var b [1 + 32 + sm3.Size]byte
	b[0] = side
	copy(b[1:], xy[32:])
	copy(b[33:], inner[:])
	defer clear(b[:])
	return sm3.Sum(b[:])
}

// shared is the point that both sides come to, A4 to A7: t (P + v R) with t = d + u r, where
// u and v are of the halves of the own point's x and the other's. It is false where that is
// infinity.
func (e *Exchange) shared(out *[64]byte, theirs *PublicKey) bool {
	u, v := half(e.point[1:33]), [32]byte{}
	x := theirs.X.FillBytes(v[:])
	w := half(x)
	putBytes(v[:], &w)
	t := mulOrder(&u, &orderSquared)
	t = mulOrder(&t, &e.scalar)
	t = addOrder(&t, &e.static)
	var b [32]byte
	putBytes(b[:], &t)
	clear(t[:])
	c := Curve()
	//nolint:staticcheck // the points are on the curve; in constant time, by gmsm's assembly
	px, py := c.ScalarMult(theirs.X, theirs.Y, v[:])
	px, py = c.Add(e.peer.X, e.peer.Y, px, py) //nolint:staticcheck // any two points
	px, py = c.ScalarMult(px, py, b[:])        //nolint:staticcheck // as above
	clear(b[:])
	if px.Sign() == 0 && py.Sign() == 0 {
		return false
	}
	px.FillBytes(out[:32])
	py.FillBytes(out[32:])
	wipe(px)
	wipe(py)
	return true
}

// half is 2^127 and the lower 127 bits of x.
func half(x []byte) words {
	w := wordsOf(x)
	return words{w[0], w[1] | 1<<63}
}

func wipe(n *big.Int) { clear(n.Bits()) }

func putPoint(b *[pointSize]byte, x, y *big.Int) {
	b[0] = 4
	x.FillBytes(b[1:33])
	y.FillBytes(b[33:])
}

// Check compares the confirmation that the other side sent. The error is ErrExchange: then
// there is no key.
func (e *Exchange) Check(confirmation []byte) error {
	if err := e.enter(take); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(confirmation, e.want[:]) != 1 {
		e.Close()
		return ErrExchange
	}
	return nil
}

// Key gives the key, and ends the exchange.
func (e *Exchange) Key() ([]byte, error) {
	if err := e.enter(take); err != nil {
		return nil, err
	}
	key := e.key
	e.key = nil
	e.Close()
	return key, nil
}

// enter ends an exchange whose steps come out of order.
func (e *Exchange) enter(s stage) error {
	if e.at != s {
		e.Close()
		return errStep
	}
	return nil
}

// Close ends the exchange and wipes what was secret in it. An exchange that gave its key
// has done so.
func (e *Exchange) Close() {
	clear(e.key)
	*e = Exchange{at: over}
}
