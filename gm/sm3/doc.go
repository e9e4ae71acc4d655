// Package sm3 is the hash SM3 (GB/T 32905-2016, ISO/IEC 10118-3): 32 bytes.
//
// Many messages are hashed side by side where the processor has AVX-512 (SumMany): 16 at
// a time, each in the time of one or less. One message is hashed by
// github.com/emmansun/gmsm.
package sm3
