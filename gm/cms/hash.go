package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"hash"

	gmsm2 "github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/issuers"
	"github.com/anole-os/anole/gm/sm2"
)

// contentHash hashes a content in all the ways that signers ask for, reading it once.
type contentHash struct {
	sums  map[Hash]hash.Hash
	zs    []hash.Hash
	start []byte // up to maxStart, beyond which no attributes are
	size  int64
}

const maxStart = 4096

// with has the content hashed with h.
func (c *contentHash) with(h Hash) hash.Hash {
	if c.sums == nil {
		c.sums = map[Hash]hash.Hash{}
	}
	if c.sums[h] == nil {
		c.sums[h] = h.New()
	}
	return c.sums[h]
}

// withZ has SM3(Z || content) hashed; nil if the key is not of SM2.
func (c *contentHash) withZ(pub crypto.PublicKey, id string) hash.Hash {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || !sm2.IsPublicKey(k) {
		return nil
	}
	if id == "" {
		id = sm2.DefaultID
	}
	h, err := gmsm2.NewHashWithUserID(k, []byte(id))
	if err != nil {
		return nil
	}
	c.zs = append(c.zs, h)
	return h
}

// Write implements io.Writer.
func (c *contentHash) Write(p []byte) (int, error) {
	for _, h := range c.sums {
		_, _ = h.Write(p)
	}
	for _, h := range c.zs {
		_, _ = h.Write(p)
	}
	c.start = append(c.start, p[:min(len(p), maxStart-len(c.start))]...)
	c.size += int64(len(p))
	return len(p), nil
}

// attributes says whether the content is the encoding of signed attributes, by which a
// signature over attributes could be passed off as one over a content.
func (c *contentHash) attributes() bool {
	if c.size > maxStart || len(c.start) == 0 || c.start[0] != byte(asn1.SET) {
		return false
	}
	s := SignerInfo{attrs: c.start}
	in := cryptobyte.String(c.start)
	var all cryptobyte.String
	return in.ReadASN1(&all, asn1.SET) && in.Empty() && s.readAttributes() == nil
}

// fits says whether a signature is of a hash by a key.
func fits(pub crypto.PublicKey, h Hash, sum, signature []byte) bool {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return h != SM3 && rsa.VerifyPKCS1v15(k, hashes[h].std, sum, signature) == nil
	case *ecdsa.PublicKey:
		if sm2.IsPublicKey(k) {
			return h == SM3 && issuers.Verify(k, sum, signature) == nil
		}
		return h != SM3 && ecdsa.VerifyASN1(k, sum, signature)
	}
	return false
}
