package sm4

// CBCEncryptMany encrypts messages by CBC, the i-th from src[i] to dst[i] after the block
// ivs[i], side by side: within one message each block waits for the one before it, and the
// time that takes is used for the others. It takes the least time for each of 48 messages
// and more, as of the records of a connection. ivs stay.
//
// It panics where there are not as many of each, a message is not of full blocks, an iv is
// no block, or where dst[i] is shorter than src[i] or overlaps it, and is not the same. A
// dst that overlaps another message's src or dst is not found out.
func (c *Cipher) CBCEncryptMany(dst, src, ivs [][]byte) {
	if len(dst) != len(src) || len(ivs) != len(src) {
		panic("sm4: not as many messages to encrypt as places and initialization vectors")
	}
	for i := range src {
		whole(dst[i], src[i])
		if len(ivs[i]) != BlockSize {
			panic("sm4: the initialization vector is not a block")
		}
	}
	if e, ok := c.e.(chainer); ok && len(src) > 1 {
		e.chains(dst, src, ivs)
		return
	}
	for i := range src {
		c.e.cbc(dst[i][:len(src[i])], src[i], (*[BlockSize]byte)(ivs[i]))
	}
}

// chainer is an engine that does it side by side.
type chainer interface{ chains(dst, src, ivs [][]byte) }
