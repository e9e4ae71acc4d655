package sm3

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
	"testing"

	peer "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/impl"
)

// each runs a test with each implementation that the processor has.
func each(t *testing.T, test func(t *testing.T)) {
	was := chosen
	defer func() { chosen = was }()
	for _, l := range impl.Available() {
		k, ok := implementations[l]
		if !ok {
			continue
		}
		chosen = k
		t.Run(l.String(), test)
	}
}

// GB/T 32905-2016, appendix A.
func TestStandard(t *testing.T) {
	each(t, func(t *testing.T) {
		for text, want := range map[string]string{
			"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
			strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
		} {
			for n := range 40 {
				dst, messages := make([][Size]byte, n), make([][]byte, n)
				for i := range messages {
					messages[i] = []byte(text)
				}
				SumMany(dst, messages)
				for i := range dst {
					if hex.EncodeToString(dst[i][:]) != want {
						t.Fatalf("%d of %d: %x, want %s", i, n, dst[i], want)
					}
				}
			}
			if got := Sum([]byte(text)); hex.EncodeToString(got[:]) != want {
				t.Errorf("%x, want %s", got, want)
			}
			h := New()
			_, _ = h.Write([]byte(text[:1]))
			_, _ = h.Write([]byte(text[1:]))
			if hex.EncodeToString(h.Sum(nil)) != want || h.Size() != Size || h.BlockSize() != BlockSize {
				t.Errorf("%x, want %s", h.Sum(nil), want)
			}
		}
	})
}

// A message of each length, in pieces, its hash cloned and marshaled on the way, is what
// another implementation makes of it.
func TestPieces(t *testing.T) {
	each(t, func(t *testing.T) {
		source := rand.NewChaCha8([32]byte{1})
		pick := rand.New(source)
		text := make([]byte, 2100)
		_, _ = source.Read(text)
		for n := range 2050 {
			from := pick.IntN(40)
			text := text[from : from+n]
			want := peer.Sum(text)
			if got := Sum(text); got != want {
				t.Fatalf("%d bytes: %x, want %x", n, got, want)
			}
			h := New()
			for left := text; len(left) > 0; {
				k := 1 + pick.IntN(len(left))
				_, _ = h.Write(left[:k])
				left = left[k:]
				h.Sum(nil) // nor does that change anything
				switch c, ok := h.(hash.Cloner); {
				case ok && pick.IntN(3) == 0:
					other, err := c.Clone()
					if err != nil {
						t.Fatal(err)
					}
					_, _ = h.Write([]byte("lost"))
					h = other
				case pick.IntN(2) == 0:
					state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					h = New()
					if pick.IntN(2) == 0 {
						h = peer.New() // whose states are of the same form
					}
					if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
				t.Fatalf("%d bytes in pieces: %x, want %x", n, got, want)
			}
		}
		for _, bad := range [][]byte{nil, []byte("sm3"), make([]byte, 108), []byte("sm3\x03")} {
			if New().(encoding.BinaryUnmarshaler).UnmarshalBinary(bad) == nil {
				t.Errorf("%q is taken for a state", bad)
			}
		}
	})
}

// Any number of messages, of any lengths, is what each is by itself.
func TestSumMany(t *testing.T) {
	var seed [32]byte
	copy(seed[:], "sm3")
	source := rand.NewChaCha8(seed)
	pick := rand.New(source)
	each(t, func(t *testing.T) {
		for round := range 300 {
			n := pick.IntN(100)
			messages, dst := make([][]byte, n), make([][Size]byte, n+1)
			for i := range messages {
				length := round
				switch pick.IntN(4) {
				case 0:
					length = pick.IntN(200)
				case 1:
					length = pick.IntN(3000)
				}
				room := make([]byte, length+pick.IntN(8))
				_, _ = source.Read(room)
				messages[i] = room[len(room)-length:]
			}
			SumMany(dst, messages)
			for i, m := range messages {
				if dst[i] != peer.Sum(m) {
					t.Fatalf("message %d of %d, %d bytes: not as it should be", i, n, len(m))
				}
			}
			if dst[n] != [Size]byte{} {
				t.Fatalf("%d messages: wrote further", n)
			}
		}
	})
	// Messages that lie at the same places of pages.
	each(t, func(t *testing.T) {
		all := make([]byte, 40*8192)
		_, _ = rand.NewChaCha8([32]byte{5}).Read(all)
		for _, n := range []int{9, 16, 17, 31, 32, 40} {
			var messages [][]byte
			for i := range n {
				messages = append(messages, all[i*8192:][:8192-i%3*70])
			}
			sums := make([][Size]byte, n)
			SumMany(sums, messages)
			for i, m := range messages {
				if sums[i] != peer.Sum(m) {
					t.Fatalf("message %d of %d, pages apart: not as it should be", i, n)
				}
			}
		}
	})
	defer func() {
		if said := fmt.Sprint(recover()); said != "sm3: fewer places than messages" {
			t.Error(said)
		}
	}()
	SumMany(nil, [][]byte{nil})
}

func TestAllocations(t *testing.T) {
	messages, dst := make([][]byte, 40), make([][Size]byte, 40)
	for i := range messages {
		messages[i] = make([]byte, 100*i)
	}
	each(t, func(t *testing.T) {
		if got := testing.AllocsPerRun(50, func() { SumMany(dst, messages) }); got >= 1 {
			t.Errorf("SumMany: %v allocations", got)
		}
		h, room := New(), make([]byte, 0, Size)
		if got := testing.AllocsPerRun(50, func() {
			Sum(messages[9])
			_, _ = h.Write(messages[9])
			h.Sum(room)
			h.Reset()
		}); got >= 1 {
			t.Errorf("one: %v allocations", got)
		}
	})
}
