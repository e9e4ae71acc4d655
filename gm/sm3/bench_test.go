package sm3

import (
	"testing"

	peer "github.com/emmansun/gmsm/sm3"
)

func BenchmarkSum(b *testing.B) {
	text := make([]byte, 16384)
	for _, n := range []int{64, 16384} {
		for name, sum := range map[string]func([]byte) [32]byte{"ours": Sum, "peer": peer.Sum} {
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					sum(text[:n])
				}
			})
		}
	}
}
