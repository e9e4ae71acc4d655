// Package selftest tests the algorithms in this process, as GM/T 0028 has a cryptographic
// module do: known answers for each implementation that the processor has, whether it is
// taken or not, the fast ones against the plain one, SM2's key exchange, HMAC and key
// derivation with SM3, SM9 and ZUC by their standards' examples, a new SM2 key by what it
// makes, and the random bit generator with the health of its source.
//
// Where one fails the process is in its error state, and OK, which whoever is about to
// use an algorithm asks, gives ErrState: package keys does, and seal, ca and x509; sm9 and zuc
// run their own tests before the first use. A run that passes ends it. So it is after Fail,
// with which a condition that came up later is told, such as a key pair that does not
// fit together (Pairwise). The random bit generator has an error state of its own, which OK
// minds too.
package selftest
