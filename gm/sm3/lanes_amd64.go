package sm3

import (
	"encoding/binary"
	"sync"

	"github.com/anole-os/anole/gm/internal/impl"
)

var implementations = map[impl.Level]sumMany{impl.Generic: oneByOne, impl.AVX512: sideBySide}

// width is how many messages are hashed side by side.
const width = 16

// few messages are hashed sooner one by one.
const few = 4

var start = [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}

// lane is a message under way: its whole blocks, then the last ones, which are made up.
type lane struct {
	message int // -1: none
	left    []byte
	end     [2 * BlockSize]byte
	ends    int // bytes of end that are to come
}

// lanes are 16 of them.
type lanes struct {
	state [8][width]uint32
	at    [width]*byte
	lane  [width]lane
}

var pool = sync.Pool{New: func() any { return &lanes{} }}

// begin puts a message on a lane.
func (l *lanes) begin(i, number int, message []byte) {
	for w := range start {
		l.state[w][i] = start[w]
	}
	n := len(message) / BlockSize * BlockSize
	lane := &l.lane[i]
	lane.message, lane.left = number, message[:n]
	clear(lane.end[:])
	rest := copy(lane.end[:], message[n:])
	lane.end[rest] = 0x80
	lane.ends = BlockSize
	if rest >= BlockSize-8 {
		lane.ends = 2 * BlockSize
	}
	binary.BigEndian.PutUint64(lane.end[lane.ends-8:], uint64(len(message))*8)
}

// next is what the lane's next blocks are, in one piece.
func (l *lane) next() []byte {
	if len(l.left) > 0 {
		return l.left
	}
	return l.end[:l.ends]
}

// took says that n bytes of next were hashed, and whether that was all.
func (l *lane) took(n int) (over bool) {
	if len(l.left) > 0 {
		l.left = l.left[n:]
		return false
	}
	copy(l.end[:], l.end[n:l.ends])
	l.ends -= n
	return l.ends == 0
}

func sideBySide(dst [][Size]byte, messages [][]byte) {
	if len(messages) < few {
		oneByOne(dst, messages)
		return
	}
	l := pool.Get().(*lanes)
	next, busy := 0, 0
	for i := range l.lane {
		l.lane[i].message = -1
		if next < len(messages) {
			l.begin(i, next, messages[next])
			next++
			busy++
		}
	}
	for busy > 0 {
		// All go as far as the shortest piece does. Those without a message go with
		// another's, for nothing.
		shortest, some := 0, (*byte)(nil)
		for i := range l.lane {
			if lane := &l.lane[i]; lane.message >= 0 {
				piece := lane.next()
				l.at[i], some = &piece[0], &piece[0]
				if shortest == 0 || len(piece) < shortest {
					shortest = len(piece)
				}
			}
		}
		for i := range l.lane {
			if l.lane[i].message < 0 {
				l.at[i] = some
			}
		}
		blocks16AVX512(&l.state, &l.at, shortest/BlockSize)
		for i := range l.lane {
			lane := &l.lane[i]
			if lane.message < 0 || !lane.took(shortest) {
				continue
			}
			for w := range l.state {
				binary.BigEndian.PutUint32(dst[lane.message][4*w:], l.state[w][i])
			}
			lane.message = -1
			busy--
			if next < len(messages) {
				l.begin(i, next, messages[next])
				next++
				busy++
			}
		}
	}
	*l = lanes{}
	pool.Put(l)
}
