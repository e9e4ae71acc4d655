// Package ima makes and checks the labels by which Linux' integrity subsystem (IMA and
// EVM) knows a file: the extended attribute security.ima, which is of the content, and
// the portable kind of security.evm, which is of owner, mode and the other security
// attributes. A label can also be kept in a file of its own beside the file, NAME.sig.
//
// A label is what security/integrity/integrity.h of Linux has: a signature (type 3, or 5
// for EVM), that is a header, the hash's number in include/uapi/linux/hash_info.h, four
// bytes that tell the key, the length in big-endian order and the signature itself; or a
// digest alone (type 4). With SM2 the signature is over the SM3 of the file as it is,
// without the signer's identity that GM/T 0009 would hash first: so does evmctl, and so
// does the kernel. Such a signature can be one of a message or a certificate, whose hash
// begins with that identity, too: a key for labels signs nothing else, and Signer.Check
// has the files refused by which somebody would have it do so.
//
// Run walks trees: the small files' digests are taken 16 at a time by gm/sm3, and
// signatures are made and checked on all processors.
package ima
