// Package field derives what SM4's fast implementations need from the definition of its
// S-box (GB/T 32907-2016, 6.2): an inversion in GF(2)[x]/(x^8+x^7+x^6+x^5+x^4+x^2+1)
// between two affine maps.
package field

import "math/bits"

const (
	polySM4 = 0x1f5
	polyAES = 0x11b // of the processors' GF2P8AFFINEINVQB
)

// Matrix is of 8 by 8 bits; Matrix[i] chooses the bits of the argument that bit i of the
// result is the sum of.
type Matrix [8]byte

// Map multiplies.
func (m Matrix) Map(x byte) (y byte) {
	for i, row := range m {
		y |= byte(bits.OnesCount8(row&x)&1) << i
	}
	return y
}

// of gives the matrix of a linear map.
func of(f func(byte) byte) (m Matrix) {
	for j := range 8 {
		column := f(1 << j)
		for i := range 8 {
			m[i] |= column >> i & 1 << j
		}
	}
	return m
}

// Times is the map of n and then m.
func (m Matrix) Times(n Matrix) Matrix { return of(func(x byte) byte { return m.Map(n.Map(x)) }) }

// Plus adds.
func (m Matrix) Plus(n Matrix) Matrix {
	return of(func(x byte) byte { return m.Map(x) ^ n.Map(x) })
}

// Inverse is the map back.
func (m Matrix) Inverse() Matrix {
	var back [256]byte
	for x := range 256 {
		back[m.Map(byte(x))] = byte(x)
	}
	return of(func(y byte) byte { return back[y] })
}

// Qword is it as GF2P8AFFINEQB and GF2P8AFFINEINVQB take it: the row of bit i is byte
// 7-i (Intel SDM, volume 2).
func (m Matrix) Qword() (q uint64) {
	for i, row := range m {
		q |= uint64(row) << (8 * (7 - i))
	}
	return q
}

func multiply(a, b byte, poly uint) byte {
	var sum uint
	for i := range 8 {
		if b>>i&1 != 0 {
			sum ^= uint(a) << i
		}
	}
	for i := 15; i >= 8; i-- {
		if sum>>i&1 != 0 {
			sum ^= poly << (i - 8)
		}
	}
	return byte(sum)
}

func invert(x byte, poly uint) byte {
	for y := range 256 {
		if multiply(x, byte(y), poly) == 1 {
			return byte(y)
		}
	}
	return 0
}

// circulant is the matrix of SM4's affine maps, whose constant is 0xd3: each row is the
// one before it, turned by a bit.
var circulant = func() (m Matrix) {
	for i := range m {
		m[i] = bits.RotateLeft8(0xa7, i)
	}
	return m
}()

const constant = 0xd3

// S is the S-box.
func S(x byte) byte {
	return circulant.Map(invert(circulant.Map(x)^constant, polySM4)) ^ constant
}

// toAES is an isomorphism of the fields.
var toAES = isomorphism(func(a, b byte) byte { return multiply(a, b, polyAES) })

// S(x) is Q·inv(P·x + InP) + OutQ, where inv is the inversion in AES's field.
var (
	P    = toAES.Times(circulant)
	InP  = toAES.Map(constant)
	Q    = circulant.Times(toAES.Inverse())
	OutQ = byte(constant)
)

// Shl is a shift of a byte to the left, Shr to the right.
func Shl(n int) Matrix { return of(func(x byte) byte { return x << n }) }

// Shr is a shift to the right.
func Shr(n int) Matrix { return of(func(x byte) byte { return x >> n }) }

// One is the identity.
var One = Shl(0)
