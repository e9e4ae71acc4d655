// Package seal encrypts files under a password or for holders of SM2 keys, so that
// whoever opens one gets all of it, unchanged, or nothing.
//
// A sealed file, numbers being big-endian:
//
//	8      magic: 89 67 6d 73 65 61 6c 0a
//	1      version: 1
//	1      c: chunks have 2^c bytes, 12 ≤ c ≤ 20
//	2      k: length of what follows, at most 16384
//	k      stanzas, each with the file's master key of 32 bytes: at most 64 of them, and
//	       at most one of a password
//	         1  kind: 1 password, 2 SM2
//	         2  length of its body
//	         n  body
//	              password  4   iterations of PBKDF2-HMAC-SM3, at most 10,000,000
//	                        16  salt
//	                        48  the master key under SM4-GCM; its key and nonce are the
//	                            28 bytes of PBKDF2
//	              SM2       8   the first bytes of SM3 over the key's SubjectPublicKeyInfo
//	                        n-8 the master key under SM2 (GM/T 0009, DER)
//	32     HMAC-SM3 over all of the above
//	       chunks: SM4-GCM, each with a tag of 16 bytes behind
//
// HKDF-SM3 (RFC 5869) of the master key, without salt, gives 32 bytes for the HMAC with
// the info "anole gm seal 1 header" and 23 for the chunks with "anole gm seal 1 payload":
// a key of 16 bytes and a prefix of 7. A chunk's nonce is the prefix, its number in 4
// bytes from 0, and 1 in the last byte of the last chunk's, else 0: the construction
// STREAM of Hoang, Reyhanitabar, Rogaway and Vizár. All chunks but the last are full; the
// last is not empty unless the file is. So a file that is cut, extended, or whose chunks
// change places does not open; and as the HMAC fixes the master key, a file opens in one
// way only.
package seal
