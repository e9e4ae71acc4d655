package sm3

import "hash"

// Width is how many messages Streams hashes side by side.
const Width = 32

// Streams hashes up to Width messages side by side, each as it comes: SumMany for messages
// that are too long to be held whole. A message is on one of the lanes 0 … Width-1. It is
// used from one goroutine.
type Streams struct{ sides sides }

// sides is an implementation.
type sides interface {
	begin(lane int)
	// blocks takes n bytes, a multiple of BlockSize, of each piece that is not empty.
	blocks(pieces *[Width][]byte, n int)
	sum(lane int, rest []byte) [Size]byte
}

// NewStreams begins a message on each lane.
func NewStreams() *Streams {
	s := &Streams{sides: newSides()}
	for i := range Width {
		s.sides.begin(i)
	}
	return s
}

// Write takes the next n bytes of the message on each lane whose piece is not empty, and
// gives n: as many as the shortest of these pieces has. The length of each piece is a
// multiple of BlockSize, or Write panics. It takes the least time where all lanes have a
// piece, or the first of them.
func (s *Streams) Write(pieces *[Width][]byte) (n int) {
	for _, p := range pieces {
		if len(p)%BlockSize != 0 {
			panic("sm3: a piece is not of whole blocks")
		}
		if len(p) > 0 && (n == 0 || len(p) < n) {
			n = len(p)
		}
	}
	if n > 0 {
		s.sides.blocks(pieces, n)
	}
	return n
}

// Sum ends the message on a lane, rest being its last bytes, however many, and begins
// another there.
func (s *Streams) Sum(lane int, rest []byte) [Size]byte {
	sum := s.sides.sum(lane, rest)
	s.sides.begin(lane)
	return sum
}

// separate is a hash a lane.
type separate [Width]hash.Hash

func (e *separate) begin(lane int) {
	if e[lane] == nil {
		e[lane] = New()
	}
	e[lane].Reset()
}

func (e *separate) blocks(pieces *[Width][]byte, n int) {
	for i, p := range pieces {
		if len(p) > 0 {
			_, _ = e[i].Write(p[:n])
		}
	}
}

func (e *separate) sum(lane int, rest []byte) (sum [Size]byte) {
	_, _ = e[lane].Write(rest)
	e[lane].Sum(sum[:0])
	return sum
}
