package sm3

import (
	"testing"

	peer "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/impl"
)

// Any cuts of a text are hashed, side by side and in pieces, to what another implementation
// makes of each.
func FuzzSumMany(f *testing.F) {
	f.Add(make([]byte, 1000), []byte{1, 2, 3, 64, 128, 255})
	f.Add([]byte("abc"), []byte{0, 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, text, cuts []byte) {
		var messages [][]byte
		for _, c := range cuts {
			n := min(int(c)*int(c)/16, len(text))
			messages = append(messages, text[:n], text[len(text)-n:])
		}
		was := chosen
		defer func() { chosen = was }()
		for _, l := range impl.Available() {
			k, ok := implementations[l]
			if !ok {
				continue
			}
			chosen = k
			sums := make([][Size]byte, len(messages))
			SumMany(sums, messages)
			h := New()
			var all []byte
			for i, m := range messages {
				if sums[i] != peer.Sum(m) {
					t.Fatalf("%v: message %d of %d, %d bytes", l, i, len(messages), len(m))
				}
				_, _ = h.Write(m)
				all = append(all, m...)
			}
			if want := peer.Sum(all); [Size]byte(h.Sum(nil)) != want {
				t.Fatalf("%v: %d pieces of %d bytes", l, len(messages), len(all))
			}
		}
	})
}
