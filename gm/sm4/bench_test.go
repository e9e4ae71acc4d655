package sm4

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"

	peer "github.com/emmansun/gmsm/sm4"
)

func BenchmarkModes(b *testing.B) {
	key, nonce := make([]byte, 16), make([]byte, 12)
	c, _ := NewCipher(key)
	a, _ := aes.NewCipher(key)
	p, _ := peer.NewCipher(key)
	g, _ := cipher.NewGCM(c)
	ga, _ := cipher.NewGCM(a)
	gp, _ := cipher.NewGCM(p)
	text, out := make([]byte, 65536), make([]byte, 0, 65536+16)
	run := func(name string, n int, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				f()
			}
		})
	}
	run("ecb", 16384, func() { c.EncryptBlocks(out[:16384], text[:16384]) })
	run("ecb4k", 4096, func() { c.EncryptBlocks(out[:4096], text[:4096]) })
	for _, n := range []int{64, 256, 1024, 4096, 16384, 65536} {
		name := map[int]string{64: "64", 256: "256", 1024: "1k", 4096: "4k", 16384: "16k", 65536: "64k"}[n]
		run("gcm"+name, n, func() { g.Seal(out[:0], nonce, text[:n], nil) })
		run("gcmAES"+name, n, func() { ga.Seal(out[:0], nonce, text[:n], nil) })
		if n == 64 {
			run("gcmPeer"+name, n, func() { gp.Seal(out[:0], nonce, text[:n], nil) })
		}
		sealed := g.Seal(nil, nonce, text[:n], nil)
		run("open"+name, n, func() { _, _ = g.Open(out[:0], nonce, sealed, nil) })
	}
	x, _ := NewXTS([]byte("0123456789abcdefghijklmnopqrstuv"))
	run("xts4k", 4096, func() { x.EncryptSector(out[:4096], text[:4096], 7) })
	run("xts64k", 65536, func() { x.EncryptSector(out[:65536], text[:65536], 7) })
	run("xtsRun", 65536, func() { x.EncryptSectors(out[:65536], text, 4096, 7, 8) })
	e := cipher.NewCBCEncrypter(c, key)
	ep := cipher.NewCBCEncrypter(p, key)
	run("cbc", 16384, func() { e.CryptBlocks(out[:16384], text[:16384]) })
	run("cbcPeer", 16384, func() { ep.CryptBlocks(out[:16384], text[:16384]) })
}
