package lanes

import "math/bits"

// b is the curve's, GB/T 32918.5.
var b = Words{0xddbcbd414d940e93, 0xf39789f515ab8f92, 0x4d5a9e4bcf6509a7, 0x28e9fa9e9d9f5e34}

// OnCurve says whether px and py are less than p and a point's: y² = x³ - 3x + b.
func OnCurve(px, py *Words) bool {
	for _, w := range []*Words{px, py} {
		var borrow uint64
		for i := range w {
			_, borrow = bits.Sub64(w[i], prime[i], borrow)
		}
		if borrow == 0 {
			return false
		}
	}
	var e, t Elem
	put(&e, 0, py)
	put(&e, 1, px)
	enter(&e)
	square(&t, &e, 1) // y², x²
	for i := range e {
		e[i][0] = one[i][0]
	}
	mul(&t, &t, &e) // y², x³
	leave(&t, &t)
	left, cube := take(&t, 0), take(&t, 1)
	sum := addPrime(&left, px)
	sum = addPrime(&sum, px)
	sum = addPrime(&sum, px)
	return sum == addPrime(&cube, &b)
}

// addPrime adds numbers less than p.
func addPrime(a, c *Words) Words {
	var s, d Words
	var carry, borrow uint64
	for i := range a {
		s[i], carry = bits.Add64(a[i], c[i], carry)
	}
	for i := range s {
		d[i], borrow = bits.Sub64(s[i], prime[i], borrow)
	}
	if carry == 0 && borrow == 1 {
		return s
	}
	return d
}
