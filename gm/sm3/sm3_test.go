package sm3

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	peer "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/impl"
)

// GB/T 32905-2016, appendix A.
func TestStandard(t *testing.T) {
	for text, want := range map[string]string{
		"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		for _, l := range impl.Available() {
			many, ok := implementations[l]
			if !ok {
				continue
			}
			for n := range 40 {
				dst, messages := make([][Size]byte, n), make([][]byte, n)
				for i := range messages {
					messages[i] = []byte(text)
				}
				many(dst, messages)
				for i := range dst {
					if hex.EncodeToString(dst[i][:]) != want {
						t.Fatalf("%v: %d of %d: %x, want %s", l, i, n, dst[i], want)
					}
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
}

// Any number of messages, of any lengths, is what each is by itself.
func TestSumMany(t *testing.T) {
	var seed [32]byte
	copy(seed[:], "sm3")
	source := rand.NewChaCha8(seed)
	pick := rand.New(source)
	for _, l := range impl.Available() {
		many, ok := implementations[l]
		if !ok {
			continue
		}
		t.Run(l.String(), func(t *testing.T) {
			for round := range 300 {
				n := pick.IntN(60)
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
				many(dst, messages)
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
	}
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
	if got := testing.AllocsPerRun(50, func() { SumMany(dst, messages) }); got >= 1 {
		t.Errorf("%v allocations", got)
	}
}
