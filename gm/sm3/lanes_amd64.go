package sm3

import (
	"encoding/binary"
	"sync"

	"github.com/anole-os/anole/gm/internal/impl"
)

var implementations = map[impl.Level]kernel{
	impl.Generic: {many: oneByOne},
	impl.AVX2:    {byAVX2, sideBySide(inHalves)},
	impl.AVX512:  {byAVX512, sideBySide(whole)},
}

// wide takes n blocks of each of the first so many of 16 messages, or of more of them.
type wide func(state *[8][width]uint32, messages *[width]*byte, n, lanes int)

func whole(state *[8][width]uint32, messages *[width]*byte, n, _ int) {
	blocks16AVX512(state, messages, n)
}

func inHalves(state *[8][width]uint32, messages *[width]*byte, n, lanes int) {
	blocks8AVX2(state, messages, n, 0)
	if lanes > width/2 {
		blocks8AVX2(state, messages, n, 1)
	}
}

// width is how many messages are hashed side by side.
const width = 16

// few messages are hashed sooner one by one.
const few = 4

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

// sideBySide is SumMany by such a kernel.
func sideBySide(blocks wide) func([][Size]byte, [][]byte) {
	return func(dst [][Size]byte, messages [][]byte) {
		if len(messages) < few {
			oneByOne(dst, messages)
			return
		}
		l := pool.Get().(*lanes)
		l.run(blocks, dst, messages)
		*l = lanes{}
		pool.Put(l)
	}
}

// run puts the messages on lanes, each as soon as one is free.
func (l *lanes) run(blocks wide, dst [][Size]byte, messages [][]byte) {
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
		shortest, busiest := l.aim()
		blocks(&l.state, &l.at, shortest/BlockSize, busiest)
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
}

// aim points at the next piece of each lane's message, of which all go as far as the
// shortest does. Lanes without a message go with another's, for nothing. It gives how many
// lanes there are up to the last that has one.
func (l *lanes) aim() (shortest, busiest int) {
	var some *byte
	for i := range l.lane {
		if lane := &l.lane[i]; lane.message >= 0 {
			piece := lane.next()
			l.at[i], some = &piece[0], &piece[0]
			if shortest == 0 || len(piece) < shortest {
				shortest = len(piece)
			}
			busiest = i + 1
		}
	}
	for i := range l.lane {
		if l.lane[i].message < 0 {
			l.at[i] = some
		}
	}
	return min(shortest, once/width*BlockSize), busiest
}
