// Package keys reads and writes keys: those of SM2, and of RSA, ECDSA and Ed25519 beside
// them.
//
//	PKCS#8      RFC 5958; under a password by PBES2 of RFC 8018 or of GM/T 0091
//	SEC1        RFC 5915, "EC PRIVATE KEY"
//	PKCS#12     RFC 7292 with PBES2, its MAC of RFC 7292 or of RFC 9579
//	enveloped   GB/T 35276-2017, 7.4: a key of encryption for the holder of another key
//	SPKI        RFC 5280, 4.1: public keys
//
// All that is read is held to DER. Refused are points off the curve and at infinity,
// scalars out of their range, public parts that are not the private one's, and what
// follows a value. What may be slow is bounded before it is begun: a file cannot ask for
// more than MaxIterations of PBKDF2. Errors on foreign bytes have constant texts.
package keys
