package field

import "testing"

// The first and the last of the table in GB/T 32907-2016.
func TestS(t *testing.T) {
	for x, want := range map[byte]byte{0: 0xd6, 1: 0x90, 2: 0xe9, 3: 0xfe, 4: 0xcc, 5: 0xe1, 6: 0x3d, 7: 0xb7, 0xef: 0x84, 0xff: 0x48} {
		if got := S(x); got != want {
			t.Errorf("S(%#x) = %#x, want %#x", x, got, want)
		}
	}
	for x := range 256 {
		if got, want := Q.Map(invert(P.Map(byte(x))^InP, polyAES))^OutQ, S(byte(x)); got != want {
			t.Errorf("by AES's field, S(%#x) = %#x, want %#x", x, got, want)
		}
	}
}
