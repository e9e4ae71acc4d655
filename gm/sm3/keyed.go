package sm3

import (
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// NewHMAC begins a message authentication code of 32 bytes (GB/T 15852.2, RFC 2104).
// Compare what it gives by hmac.Equal.
func NewHMAC(key []byte) hash.Hash { return hmac.New(New, key) }

// KDF derives n bytes from a shared secret, GB/T 32918.4-2016, 5.4.3: the hashes of z and
// a counter, one after the other. It panics where n is negative or would need the counter
// to wrap.
func KDF(z []byte, n int) []byte {
	if n < 0 || uint64(n) > Size*(1<<32-1) {
		panic("sm3: no key of that length can be derived")
	}
	const batch = 64
	out := make([]byte, 0, (n+Size-1)/Size*Size)
	room := make([]byte, 0, batch*(len(z)+4))
	messages, sums := make([][]byte, 0, batch), make([][Size]byte, batch)
	for ct := uint32(1); len(out) < n; {
		room, messages = room[:0], messages[:0]
		for ; len(messages) < batch && len(out)+Size*len(messages) < n; ct++ {
			from := len(room)
			room = binary.BigEndian.AppendUint32(append(room, z...), ct)
			messages = append(messages, room[from:])
		}
		SumMany(sums, messages)
		for i := range messages {
			out = append(out, sums[i][:]...)
		}
	}
	clear(room[:cap(room)])
	clear(sums)
	return out[:n]
}
