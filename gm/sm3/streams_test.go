package sm3

import (
	"fmt"
	"math/rand/v2"
	"testing"

	peer "github.com/emmansun/gmsm/sm3"
)

// Messages of any length come in pieces of any length, with lanes that rest in between, and
// more of them than there are lanes.
func TestStreams(t *testing.T) {
	each(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		text := make([]byte, 300_000)
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		for _, used := range []int{1, 2, 3, 4, 5, 8, 9, 15, 16} {
			s := NewStreams()
			var whole, left, pieces [Width][]byte
			ended := 0
			for ended < 60 {
				for i := range used {
					switch {
					case whole[i] == nil:
						n := random.IntN(3000)
						if random.IntN(4) == 0 {
							n = random.IntN(len(text))
						}
						whole[i], left[i] = text[:n:n], text[:n]
					case len(pieces[i]) == 0 && len(left[i]) < BlockSize:
						if got := s.Sum(i, left[i]); got != peer.Sum(whole[i]) {
							t.Fatalf("%d lanes, lane %d, %d bytes: %x", used, i, len(whole[i]), got)
						}
						whole[i], left[i] = nil, nil
						ended++
					case len(pieces[i]) == 0 && random.IntN(3) > 0:
						n := (1 + random.IntN(len(left[i])/BlockSize)) * BlockSize
						pieces[i], left[i] = left[i][:n], left[i][n:]
					}
				}
				n := s.Write(&pieces)
				for i := range pieces {
					if len(pieces[i]) > 0 {
						pieces[i] = pieces[i][n:]
					}
				}
			}
		}
		s := NewStreams()
		if got := s.Sum(7, text); got != peer.Sum(text) {
			t.Errorf("all of it as the rest: %x", got)
		}
	})
}

func BenchmarkStreams(b *testing.B) {
	const length = 1 << 16
	for _, n := range []int{1, 2, 3, 4, 8, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := make([]byte, Width*(length+320))
			s := NewStreams()
			var pieces [Width][]byte
			for i := range n {
				pieces[i] = text[i*(length+320):][:length]
			}
			b.SetBytes(int64(n) * length)
			for b.Loop() {
				s.Write(&pieces)
			}
		})
	}
}
