package sm3

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"github.com/anole-os/anole/gm/internal/impl"
)

var implementations = map[impl.Level]kernel{
	impl.Generic: {many: oneByOne},
	impl.AVX2:    {byAVX2, sideBySide(inQuarters)},
	impl.AVX512:  {byAVX512, sideBySide(whole)},
}

// width is how many messages are hashed side by side: two times as many as a register has
// lanes, so that one half is hashed while the other waits.
const width = 2 * half

const half = 16

// states are of the lanes.
type states [2][8][half]uint32

// cell is a word of a lane's.
func (s *states) cell(word, lane int) *uint32 { return &s[lane/half][word][lane%half] }

// begin sets a lane to the state before a message.
func (s *states) begin(lane int) {
	for w, v := range start {
		*s.cell(w, lane) = v
	}
}

// column is a lane's.
func (s *states) column(lane int) (c [8]uint32) {
	for w := range c {
		c[w] = *s.cell(w, lane)
	}
	return c
}

// wide takes n blocks of each of the first so many messages, or of more of them.
type wide func(s *states, messages *[width]*byte, n, lanes int)

func whole(s *states, messages *[width]*byte, n, lanes int) {
	if lanes > half {
		blocks32AVX512((*[2][8][half]uint32)(s), messages, n)
		return
	}
	blocks16AVX512(&s[0], (*[half]*byte)(messages[:]), n)
}

func inQuarters(s *states, messages *[width]*byte, n, lanes int) {
	for q := 0; q*half/2 < lanes; q++ {
		blocks8AVX2(&s[q/2], (*[half]*byte)(messages[q/2*half:]), n, q%2)
	}
}

// few messages are hashed sooner one by one.
const few = 4

// lane is a message under way: its whole blocks, then the last ones, which are made up.
type lane struct {
	message int
	left    []byte
	end     [2 * BlockSize]byte
	ends    int // bytes of end that are to come
}

// lanes are width of them.
type lanes struct {
	state states
	at    [width]*byte
	lane  [width]lane
	room  [width][portion + BlockSize]byte
	// filled says that there is something in the room.
	filled bool
}

// portion is how much of each message comes to one place, where the messages would drive
// each other out of the cache.
const portion = 1024

// crowd is how many messages have room in a cache that begin at the same place of a page:
// the least that processors have.
const crowd = 8

// crowded says whether the next pieces lie so, as those of equal messages in one large
// piece of memory do.
func (l *lanes) crowded(busy int) bool {
	n, first := 0, uintptr(unsafe.Pointer(l.at[0]))
	for _, p := range l.at[:busy] {
		if (uintptr(unsafe.Pointer(p))^first)%4096 < BlockSize {
			n++
		}
	}
	return n > crowd
}

// apart hashes pieces, n bytes of each, from where they do not disturb each other.
func (l *lanes) apart(blocks wide, n, busy int) {
	l.filled = true
	for at := 0; at < n; at += portion {
		size := min(n-at, portion)
		for i := range width {
			l.at[i] = &l.room[min(i, busy-1)][0]
		}
		for i := range busy {
			copy(l.room[i][:size], l.lane[i].next()[at:])
		}
		blocks(&l.state, &l.at, size/BlockSize, busy)
	}
}

var pool = sync.Pool{New: func() any { return &lanes{} }}

// begin puts a message on a lane.
func (l *lanes) begin(i, number int, message []byte) {
	l.state.begin(i)
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
		used := min(len(messages), width)
		l.state, l.at = states{}, [width]*byte{}
		clear(l.lane[:used])
		if l.filled {
			clear(l.room[:])
			l.filled = false
		}
		pool.Put(l)
	}
}

// run puts the messages on lanes, each as soon as one is free. Lanes that are busy are the
// first ones.
func (l *lanes) run(blocks wide, dst [][Size]byte, messages [][]byte) {
	next, busy := 0, 0
	for ; busy < width && next < len(messages); busy, next = busy+1, next+1 {
		l.begin(busy, next, messages[next])
	}
	for busy > 0 {
		shortest := l.aim(busy)
		if l.crowded(busy) {
			l.apart(blocks, shortest, busy)
		} else {
			blocks(&l.state, &l.at, shortest/BlockSize, busy)
		}
		for i := 0; i < busy; {
			if !l.lane[i].took(shortest) {
				i++
				continue
			}
			to := &dst[l.lane[i].message]
			for w, v := range l.state.column(i) {
				binary.BigEndian.PutUint32(to[4*w:], v)
			}
			if next < len(messages) {
				l.begin(i, next, messages[next])
				next++
				i++
				continue
			}
			busy--
			l.move(i, busy) // and its turn is now
		}
	}
}

// move has a lane's message on another lane.
func (l *lanes) move(to, from int) {
	for w, v := range l.state.column(from) {
		*l.state.cell(w, to) = v
	}
	l.lane[to] = l.lane[from]
}

// aim points at the next piece of each busy lane's message, of which all go as far as the
// shortest does. Lanes without a message go with another's, for nothing.
func (l *lanes) aim(busy int) (shortest int) {
	for i := range l.lane[:busy] {
		piece := l.lane[i].next()
		l.at[i] = &piece[0]
		if shortest == 0 || len(piece) < shortest {
			shortest = len(piece)
		}
	}
	for i := busy; i < width; i++ {
		l.at[i] = l.at[0]
	}
	return min(shortest, once/width*BlockSize)
}
