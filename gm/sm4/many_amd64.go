package sm4

import (
	"sync"
	"unsafe"
)

// after is n blocks on.
func after(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n*BlockSize)) }

// streams are messages that are encrypted side by side, and what is left of each.
type streams struct {
	dst, src [most]*byte
	last     [most][BlockSize]byte
	left     [most]int // blocks
}

var streamsPool = sync.Pool{New: func() any { return &streams{} }}

// move has a stream in another's place.
func (s *streams) move(to, from int) {
	s.dst[to], s.src[to], s.last[to], s.left[to] = s.dst[from], s.src[from], s.last[from], s.left[from]
}

// chains implements chainer. As a message ends the next one takes its place, and in the
// end the last of those under way.
func (c *avx512) chains(dst, src, ivs [][]byte) {
	s := streamsPool.Get().(*streams)
	next, busy := 0, 0
	begin := func(at int) bool {
		for ; next < len(src); next++ {
			if n := len(src[next]) / BlockSize; n > 0 {
				s.dst[at], s.src[at], s.left[at] = &dst[next][0], &src[next][0], n
				copy(s.last[at][:], ivs[next])
				next++
				return true
			}
		}
		return false
	}
	for busy < most && begin(busy) {
		busy++
	}
	for busy > 0 {
		n := slowStretch
		for _, left := range s.left[:busy] {
			n = min(n, left)
		}
		groups := (busy + many - 1) / many
		for i := busy; i < groups*many; i++ {
			s.move(i, 0) // the same once more, to fill the group
		}
		cbcManyAVX512(&c.keys, &s.dst, &s.src, n, &s.last, groups)
		for i := 0; i < busy; {
			if s.left[i] -= n; s.left[i] > 0 {
				s.dst[i], s.src[i] = after(s.dst[i], n), after(s.src[i], n)
				i++
				continue
			}
			if begin(i) {
				i++
				continue
			}
			busy--
			s.move(i, busy) // and its turn is now
		}
	}
	*s = streams{}
	streamsPool.Put(s)
}
