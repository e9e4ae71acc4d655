// Package sm4 is the block cipher SM4 (GB/T 32907-2016, ISO/IEC 18033-3): blocks of 16
// bytes under keys of 16 bytes.
//
// A Cipher is a crypto/cipher.Block, and what that package's constructors take a fast
// path by: cipher.NewGCM, cipher.NewCTR and cipher.NewCBCDecrypter work on many blocks at once.
// None of the implementations has a branch or an address that depends on a key or on
// data:
//
//	avx512    amd64 with AVX-512 and GFNI: 80 blocks at a time, the S-box and what
//	          follows it by three of the processor's inversions of a byte
//	gfni      the same with registers of 256 bits: 16 blocks at a time
//	avx2      gmsm's by the instructions for AES, 8 blocks at a time
//	assembly  gmsm's on other processors
//	generic   64-bit words, bit by bit: 16 blocks at a time, the S-box by gates
//
// The best that the processor has is taken; GM_CPU in the environment takes another.
package sm4
