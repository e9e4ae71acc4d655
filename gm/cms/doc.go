// Package cms is the cryptographic message syntax: signed, enveloped, and signed and
// enveloped messages, by GM/T 0010 (GB/T 35275) or by RFC 5652 with the algorithms of
// ShangMi. Reading finds out by itself which of the two it has.
//
//	der, err := cms.Sign(content, cms.SignOptions{Signers: []cms.Signer{{Certificate: c, Key: k}}})
//	report, err := cms.Verify(der, cms.VerifyOptions{Roots: roots})
//
// Signers have keys of SM2 with SM3; or RSA or ECDSA with SHA-2, which firmware and most
// kernels want. Recipients have keys of SM2 or RSA; contents are encrypted with SM4-CBC.
// Messages are read as DER, BER or PEM and written as DER.
//
// A signature by SM2 covers SM3(Z || what is signed), Z being of the signer's identity
// and key (GM/T 0009). OpenSSL and Linux leave Z out where a message has no signed
// attributes, which Plain in the options is for; which of the two a message means is
// never guessed, since a message of the one kind is a forgery of the other.
//
// What is detached, signing and verifying, is read as a stream; all else is in memory.
// Errors about a message are of constant text.
package cms
