package sm3

import (
	"encoding/binary"

	peer "github.com/emmansun/gmsm/sm3"
)

// sum hashes by this implementation, whatever was chosen.
func (k kernel) sum(message []byte) (sum [Size]byte) {
	if k.blocks == byPeer {
		return peer.Sum(message)
	}
	state := start
	padded := append(append([]byte(nil), message...), 0x80)
	padded = append(padded, make([]byte, (2*BlockSize-8-len(padded)%BlockSize)%BlockSize)...)
	padded = binary.BigEndian.AppendUint64(padded, uint64(len(message))*8)
	if k.blocks == byAVX512 {
		blocksAVX512(&state, &padded[0], len(padded)/BlockSize)
	} else {
		blocksAVX2(&state, &padded[0], len(padded)/BlockSize)
	}
	for i, w := range state {
		binary.BigEndian.PutUint32(sum[4*i:], w)
	}
	return sum
}
