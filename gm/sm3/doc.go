// Package sm3 is the hash SM3 (GB/T 32905-2016, ISO/IEC 10118-3): 32 bytes.
//
// Many messages are hashed side by side (SumMany): 32 at a time with AVX-512, 8 with AVX2,
// each in the time of one or less. One message is hashed by assembly for AVX-512 or AVX2,
// and on other processors by github.com/emmansun/gmsm.
package sm3
