package ima

import (
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"

	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/sm3"
)

// Algo is a hash by its number in include/uapi/linux/hash_info.h.
type Algo uint8

// The hashes that are known here. The older ones of that list, MD5 and SHA-1 among them,
// are refused.
const (
	SHA256   Algo = 4
	SHA384   Algo = 5
	SHA512   Algo = 6
	SHA224   Algo = 7
	SM3      Algo = 17
	SHA3_256 Algo = 20
	SHA3_384 Algo = 21
	SHA3_512 Algo = 22
)

// algos has of each hash its name, its length in bytes and, for RSA, what stands before
// the digest: the DER of DigestInfo (RFC 8017, clause 9.2; SM3's OID is of GM/T 0006).
var algos = map[Algo]struct {
	name   string
	size   int
	make   func() hash.Hash
	prefix string
}{
	SHA256:   {"sha256", 32, sha256.New, "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"},
	SHA384:   {"sha384", 48, sha512.New384, "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"},
	SHA512:   {"sha512", 64, sha512.New, "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"},
	SHA224:   {"sha224", 28, sha256.New224, "\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c"},
	SM3:      {"sm3", sm3.Size, sm3.New, "\x30\x30\x30\x0c\x06\x08\x2a\x81\x1c\xcf\x55\x01\x83\x11\x05\x00\x04\x20"},
	SHA3_256: {"sha3-256", 32, func() hash.Hash { return sha3.New256() }, "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x08\x05\x00\x04\x20"},
	SHA3_384: {"sha3-384", 48, func() hash.Hash { return sha3.New384() }, "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x09\x05\x00\x04\x30"},
	SHA3_512: {"sha3-512", 64, func() hash.Hash { return sha3.New512() }, "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x0a\x05\x00\x04\x40"},
}

// ParseAlgo finds a hash by its name, as String gives it.
func ParseAlgo(name string) (Algo, error) {
	for a, v := range algos {
		if v.name == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("hash %q is not known here; sm3, sha224, sha256, sha384, sha512, sha3-256, sha3-384 and sha3-512 are", name)
}

// String is the hash's name, as the kernel has it.
func (a Algo) String() string {
	if v, ok := algos[a]; ok {
		return v.name
	}
	return fmt.Sprintf("hash %d", uint8(a))
}

// Alg is the hash's name in package policy.
func (a Algo) Alg() policy.Alg {
	if name, ok := strings.CutPrefix(a.String(), "sha"); ok && !strings.HasPrefix(name, "3-") {
		return policy.Alg("sha-" + name)
	}
	return policy.Alg(a.String())
}

// Known says whether files can be hashed with it here.
func (a Algo) Known() bool { return algos[a].make != nil }

// Size is the digest's length in bytes, 0 where a is not known.
func (a Algo) Size() int { return algos[a].size }

// New begins a hash. It panics where a is not known.
func (a Algo) New() hash.Hash { return algos[a].make() }
