package field

// The tower field GF((2^4)^2), in which an inversion is short to write in gates: bits 0
// to 3 and 4 to 7 are elements of GF(2)[w]/(w^4+w+1), a and b of a+by, and y²=y+lambda.

const polyNibble = 0x13

// lambda makes y²+y+lambda irreducible.
var lambda = func() byte {
	for l := byte(1); ; l++ {
		roots := 0
		for y := range byte(16) {
			if Nibble(y, y)^y^l == 0 {
				roots++
			}
		}
		if roots == 0 {
			return l
		}
	}
}()

// Lambda is that of the tower.
func Lambda() byte { return lambda }

// Nibble multiplies in the field of 16 elements.
func Nibble(a, b byte) (sum byte) {
	for i := range 4 {
		if b>>i&1 != 0 {
			sum ^= a << i
		}
	}
	for i := 6; i >= 4; i-- {
		if sum>>i&1 != 0 {
			sum ^= polyNibble << (i - 4)
		}
	}
	return sum
}

// NibbleInverse of 0 is 0.
func NibbleInverse(a byte) byte {
	for b := range byte(16) {
		if Nibble(a, b) == 1 {
			return b
		}
	}
	return 0
}

func towerMultiply(a, b byte) byte {
	a0, a1, b0, b1 := a&15, a>>4, b&15, b>>4
	high := Nibble(a1, b1)
	return Nibble(a0, b0) ^ Nibble(high, lambda) | (high^Nibble(a0, b1)^Nibble(a1, b0))<<4
}

// toTower is an isomorphism from SM4's field.
var toTower = isomorphism(towerMultiply)

// isomorphism maps x of SM4's field to a root of its polynomial in another.
func isomorphism(times func(a, b byte) byte) Matrix {
	for root := 2; ; root++ {
		power, sum := byte(1), byte(0)
		var column [8]byte
		for i := range 9 {
			if i < 8 {
				column[i] = power
			}
			if polySM4>>i&1 != 0 {
				sum ^= power
			}
			power = times(power, byte(root))
		}
		if sum == 0 {
			return of(func(x byte) (y byte) {
				for i := range 8 {
					if x>>i&1 != 0 {
						y ^= column[i]
					}
				}
				return y
			})
		}
	}
}

// S(x) is TowerQ·inv(TowerP·x + TowerIn) + OutQ, where inv is the tower's inversion.
var (
	TowerP  = toTower.Times(circulant)
	TowerIn = toTower.Map(constant)
	TowerQ  = circulant.Times(toTower.Inverse())
)
