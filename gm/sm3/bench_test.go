package sm3

import (
	"fmt"
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

func BenchmarkMany(b *testing.B) {
	for _, n := range []int{16, 32, 64} {
		for name, stride := range map[string]int{"aligned": 65536, "apart": 65536 + 192} {
			all, sums := make([]byte, n*stride), make([][Size]byte, n)
			var messages [][]byte
			for i := range n {
				messages = append(messages, all[i*stride:][:65536])
			}
			b.Run(fmt.Sprint(name, n), func(b *testing.B) {
				b.SetBytes(int64(n) * 65536)
				for b.Loop() {
					SumMany(sums, messages)
				}
			})
		}
	}
}
