// Package sm2 is the elliptic-curve cryptography of GB/T 32918 (GM/T 0003): signatures,
// public key encryption and key exchange on the curve of part 5.
//
// A Signer signs with one key; a BatchSigner does so side by side for goroutines that ask at
// the same time, and SignMany for one that has many digests. Verify checks a signature of
// any key, a Verifier of one key in a small part of the time, Verifiers those of keys that come
// again, and VerifyMany and a BatchVerifier many side by side.
//
// Arithmetic is in eight lanes of vectors where the processor has AVX-512 with IFMA
// (docs/adr/0010-shangmi.md), and gmsm's otherwise. Signing takes no time, and no address,
// that depends on the key or a nonce. Decryption and key exchange are gmsm's, in constant
// time but for what math/big does with coordinates on the way.
//
// Keys are those of github.com/emmansun/gmsm, so that its packages take them.
package sm2
