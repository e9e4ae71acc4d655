// Package x509 is certificates, requests and revocation lists (RFC 5280, RFC 2986) with
// SM2 and SM3 (GB/T 20518, GM/T 0015), and with RSA, ECDSA and Ed25519 beside them.
//
// Its types are those of github.com/emmansun/gmsm/smx509. What is added: encodings are
// held to DER, keys to their curve; signatures may be under another identity than the
// standard one (GM/T 0009, clause 10); chains say in a constant text what is wrong with
// which certificate; and there are pairs of a signing and an encryption certificate, as
// TLCP (GB/T 38636) has them.
package x509
