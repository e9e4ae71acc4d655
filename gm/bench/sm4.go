package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"runtime"

	peer "github.com/emmansun/gmsm/sm4"

	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/internal/benchfmt"
)

const kib = 1 << 10

var sm4Cases = []benchCase{
	{Name: "sm4-ecb", Doc: "SM4, blocks alone", Run: (*bencher).ecb},
	{Name: "sm4-ctr", Doc: "SM4-CTR", Run: (*bencher).ctr},
	{Name: "sm4-gcm-16k", Doc: "SM4-GCM, 16 KiB, against SM4 and AES", Run: (*bencher).gcm16k},
	{Name: "sm4-gcm-1k", Doc: "SM4-GCM, 1 KiB, against SM4 and AES", Run: (*bencher).gcm1k},
	{Name: "sm4-gcm-small", Doc: "SM4-GCM, 64 and 256 bytes", Run: (*bencher).gcmSmall},
	{Name: "sm4-ccm", Doc: "SM4-CCM", Run: (*bencher).ccm},
	{Name: "sm4-xts", Doc: "SM4-XTS, sectors of 4 KiB", Run: (*bencher).xts},
	{Name: "sm4-sectors", Doc: "SM4-XTS, 16 sectors of 4 KiB at once", Run: (*bencher).xtsRun},
	{Name: "sm4-cbc", Doc: "SM4-CBC encryption of one stream", Run: (*bencher).cbc},
	{Name: "sm4-messages", Doc: "SM4-CBC encryption of 64 and of 16 messages side by side", Run: (*bencher).cbcMany},
}

// testKey is the driver's too.
func testKey(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// text is what is encrypted and hashed; the driver has the same.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// cipherOf makes a block cipher under the test's key.
type cipherOf func(key []byte) (cipher.Block, error)

func ours(key []byte) (cipher.Block, error) { return sm4.NewCipher(key) }

// cipherSubject is a mode over 16 KiB; open gives the operation on them.
func cipherSubject(name string, of cipherOf, open func(block cipher.Block, dst, src []byte) (func(), error)) *subject {
	const n = 16 * kib
	dst, src := make([]byte, n), text(n)
	return inProcess(name, n, dst[n-16:], func() (func() error, error) {
		block, err := of(testKey(16))
		if err != nil {
			return nil, err
		}
		op, err := open(block, dst, src)
		return func() error { op(); return nil }, err
	})
}

func (b *bencher) ecb(ctx context.Context) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	mine := cipherSubject("", ours, func(block cipher.Block, dst, src []byte) (func(), error) {
		c, ok := block.(*sm4.Cipher)
		if !ok {
			return nil, fmt.Errorf("encrypt blocks: a %T does not", block)
		}
		return func() { c.EncryptBlocks(dst, src) }, nil
	})
	return b.play(ctx, match{
		what: "SM4-ECB, 16 KiB", unit: "GB/s", ours: mine,
		peers: []versus{{"sm4-ecb", ">=2.3", d.subject("ecb", 16*kib)}},
	})
}

func ctrSubject(name string, of cipherOf) *subject {
	return cipherSubject(name, of, func(block cipher.Block, dst, src []byte) (func(), error) {
		s := cipher.NewCTR(block, make([]byte, 16))
		return func() { s.XORKeyStream(dst, src) }, nil
	})
}

func (b *bencher) ctr(ctx context.Context) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	return b.play(ctx, match{
		what: "SM4-CTR, 16 KiB", unit: "GB/s", ours: ctrSubject("", ours),
		peers: []versus{{"sm4-ctr", ">=2.3", d.subject("ctr", 16*kib)}, {"sm4-ctr-gmsm", ">=12", ctrSubject(gmsmName, peer.NewCipher)}},
	})
}

func cbcSubject(name string, of cipherOf) *subject {
	return cipherSubject(name, of, func(block cipher.Block, dst, src []byte) (func(), error) {
		m := cipher.NewCBCEncrypter(block, make([]byte, 16))
		return func() { m.CryptBlocks(dst, src) }, nil
	})
}

func (b *bencher) cbc(ctx context.Context) ([]benchfmt.Result, error) {
	return b.play(ctx, match{
		what: "SM4-CBC encryption, one stream, 16 KiB", unit: "MB/s", ours: cbcSubject("", ours),
		peers: []versus{{"sm4-cbc", ">=1.35", cbcSubject(gmsmName, peer.NewCipher)}},
	})
}

// cbcMany has messages of 16 KiB one behind the other with room for their heads, as the
// records of a connection are.
func (b *bencher) cbcMany(ctx context.Context) (all []benchfmt.Result, err error) {
	const n, stride = 16 * kib, 16*kib + 48
	for _, c := range []struct {
		id, than string
		messages int
	}{{"sm4-cbc-many", ">=35", 64}, {"sm4-cbc-many-16", "", 16}} {
		dst, src := make([]byte, c.messages*stride), make([]byte, c.messages*stride)
		var to, from, ivs [][]byte
		for i := range c.messages {
			at := i * stride
			copy(src[at:], text(n))
			to, from, ivs = append(to, dst[at:at+n]), append(from, src[at:at+n]), append(ivs, make([]byte, 16))
		}
		end := dst[(c.messages-1)*stride+n-16:][:16]
		mine := inProcess("", float64(c.messages*n), end, func() (func() error, error) {
			block, err := sm4.NewCipher(testKey(16))
			return func() error { block.CBCEncryptMany(to, from, ivs); return nil }, err
		})
		one := cipherSubject(gmsmName+", one by one", peer.NewCipher, func(block cipher.Block, dst, src []byte) (func(), error) {
			return func() { cipher.NewCBCEncrypter(block, ivs[0]).CryptBlocks(dst, src) }, nil
		})
		r, err := b.play(ctx, match{
			what: fmt.Sprintf("SM4-CBC encryption, %d messages of 16 KiB side by side", c.messages), unit: "MB/s", ours: mine,
			peers: []versus{{c.id, c.than, one}},
		})
		if err != nil {
			return all, err
		}
		all = append(all, r...)
	}
	return all, nil
}

// sealSubject seals n bytes under one key with one nonce: to measure by, and for nothing
// else. The end is of the tag, as in the driver.
func sealSubject(name string, n int, of cipherOf, mode func(cipher.Block) (cipher.AEAD, error)) *subject {
	dst, src, nonce := make([]byte, n+16), text(n), make([]byte, 12)
	return inProcess(name, float64(n), dst[n:], func() (func() error, error) {
		block, err := of(testKey(16))
		if err != nil {
			return nil, err
		}
		a, err := mode(block)
		return func() error { a.Seal(dst[:0], nonce, src, nil); return nil }, err
	})
}

// aesSubject computes something else, which is not compared.
func aesSubject(n int) *subject {
	s := sealSubject("AES-128-GCM of "+runtime.Version(), n, aes.NewCipher, cipher.NewGCM)
	run := s.run
	s.run = func(n int) (took, string, error) {
		t, _, err := run(n)
		return t, "", err
	}
	return s
}

// gcm is against libgcrypt and Go's AES; target of each.
func (b *bencher) gcm(ctx context.Context, id string, n int, than, thanAES string) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	return b.play(ctx, match{
		what: fmt.Sprintf("SM4-GCM, %d KiB sealed", n/kib), unit: "GB/s", ours: sealSubject("", n, ours, cipher.NewGCM),
		peers: []versus{{id, than, d.subject("gcm", n)}, {id + "-aes", thanAES, aesSubject(n)}},
	})
}

func (b *bencher) gcm16k(ctx context.Context) ([]benchfmt.Result, error) {
	return b.gcm(ctx, "sm4-gcm-16k", 16*kib, ">=2.1", ">=1.05")
}

func (b *bencher) gcm1k(ctx context.Context) ([]benchfmt.Result, error) {
	return b.gcm(ctx, "sm4-gcm-1k", kib, "", "")
}

func (b *bencher) gcmSmall(ctx context.Context) (out []benchfmt.Result, err error) {
	for _, c := range []struct {
		n    int
		than string
	}{{64, ">=3.5"}, {256, ""}} {
		n := c.n
		r, err := b.play(ctx, match{
			what: fmt.Sprintf("SM4-GCM, %d bytes sealed, the key in use already", n), unit: "MB/s", ours: sealSubject("", n, ours, cipher.NewGCM),
			peers: []versus{{fmt.Sprintf("sm4-gcm-%d", n), c.than, sealSubject(gmsmName, n, peer.NewCipher, cipher.NewGCM)}},
		})
		if err != nil {
			return nil, err
		}
		out = append(out, r...)
	}
	return out, nil
}

func (b *bencher) ccm(ctx context.Context) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	mine := sealSubject("", 16*kib, ours, func(block cipher.Block) (cipher.AEAD, error) {
		c, ok := block.(*sm4.Cipher)
		if !ok {
			return nil, fmt.Errorf("make CCM: a %T has none", block)
		}
		return c.NewCCM(12, 16)
	})
	return b.play(ctx, match{
		what: "SM4-CCM, 16 KiB sealed", unit: "MB/s", ours: mine,
		peers: []versus{{"sm4-ccm", ">=1.5", d.subject("ccm", 16*kib)}},
	})
}

func (b *bencher) xts(ctx context.Context) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	const n = 4 * kib
	dst, src := make([]byte, n), text(n)
	mine := inProcess("", n, dst[n-16:], func() (func() error, error) {
		x, err := sm4.NewXTS(testKey(32))
		sector := uint64(0)
		return func() error { x.EncryptSector(dst, src, sector); sector++; return nil }, err
	})
	return b.play(ctx, match{
		what: "SM4-XTS, sectors of 4 KiB", unit: "GB/s", ours: mine,
		peers: []versus{{"sm4-xts", ">=2.2", d.subject("xts", n)}},
	})
}

// xtsRun is of sectors in a row, whose tweaks are encrypted together. libgcrypt has them
// one by one.
func (b *bencher) xtsRun(ctx context.Context) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	const size, n = 4 * kib, 64 * kib
	dst, src := make([]byte, n), text(n)
	mine := inProcess("", n, nil, func() (func() error, error) {
		x, err := sm4.NewXTS(testKey(32))
		sector := uint64(0)
		return func() error { x.EncryptSectors(dst, src, size, sector, 1); sector += n / size; return nil }, err
	})
	return b.play(ctx, match{
		what: "SM4-XTS, 16 sectors of 4 KiB at once", unit: "GB/s", ours: mine,
		peers: []versus{{"sm4-xts-run", ">=2.2", d.subject("xts", size)}},
	})
}
