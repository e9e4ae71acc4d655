// Package sm9 is SM9, where a name is the public key: GM/T 0044-2016, parts 2 (signatures),
// 3 (key exchange) and 4 (key encapsulation and encryption), on the curve of part 5.
//
// A master key belongs to who runs the system. Of it comes each user's key for a name; who
// has the master's public half and a name needs nothing else to verify or to encrypt. Who
// has the master key can do all that any user can.
//
// The arithmetic is gmsm's, and keys are gmsm's types, with their methods for ASN.1. What is
// random comes from gm/rng. Errors towards who sent something are constant.
//
// Each function asks policy.Default about policy.SM9 first; methods of gmsm's types ask nobody.
// Its strength is some 100 bits, and not the 128 that it was made for: see package policy,
// whose least strength is that by default and leaves SM9 out where it is set to 112. Before the
// first use the self-tests run, in some 20 milliseconds; where one fails no function does
// anything.
package sm9
