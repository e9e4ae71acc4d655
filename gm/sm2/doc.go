// Package sm2 is the elliptic-curve cryptography of GB/T 32918 (GM/T 0003): signatures,
// public key encryption and key exchange on the curve of part 5.
//
// Keys are those of github.com/emmansun/gmsm, so that its packages take them.
package sm2
