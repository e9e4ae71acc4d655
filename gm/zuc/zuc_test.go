package zuc

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func hexed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var frame = Frame{Count: 0x66035492, Bearer: 0xf}

// The examples of the standards and of ZUC-256's paper.
func TestExamples(t *testing.T) {
	zero := make([]byte, 50)
	stream, err := New(zero[:16], zero[:16])
	if err != nil {
		t.Fatal(err)
	}
	wide, err := New256(zero[:32], zero[:23])
	if err != nil {
		t.Fatal(err)
	}
	one, other := make([]byte, 8), make([]byte, 16)
	stream.XORKeyStream(one, one)
	wide.XORKeyStream(other, other)
	eea := func(key string, f Frame, msg string, bits int) []byte {
		b, err := EEA(hexed(key), f, hexed(msg), bits)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	eia := func(key string, f Frame, msg string, bits int) []byte {
		b, err := EIA(hexed(key), f, hexed(msg), bits)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	mac := func(size int) []byte {
		b, err := MAC256(zero[:32], zero[:23], size, zero, 400)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ZUC", one, "27bede74018082da"},
		{"ZUC-256", other, "58d03ad62e032ce2dafc683a39bdcb03"},
		{"EEA, set 1", eea("173d14ba5003731d7a60049470f00a29", frame, "6cf65340735552ab0c9752fa6f9025fe0bd675d9005875b200", 193), "a6c85fc66afb8533aafc2518dfe784940ee1e4b030238cc800"},
		{"EIA, set 1", eia("00000000000000000000000000000000", Frame{}, "00000000", 1), "c8a9595e"},
		{"EIA, 577 bits", eia("c9e6cec4607c72db000aefa88385ab0a", Frame{0xa94059da, 0xa, 1}, "983b41d47d780c9e1ad11d7eb70391b1de0b35da2dc62f83e7b78d6306ca0ea07e941b7be91348f9fcb170e2217fecd97f9f68adb16e5d7d21e569d280ed775cebde3f4093c5388100000000", 0x241), "fae8ff0b"},
		{"MAC of 4", mac(4), "9b972a74"}, {"MAC of 8", mac(8), "673e54990034d38c"}, {"MAC of 16", mac(16), "d85e54bbcb9600967084c952a1654b26"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// What is encrypted comes back, whatever its bits; what nobody has is an error, not a panic.
func TestBoundsAndBack(t *testing.T) {
	key, msg := make([]byte, KeySize), bytes.Repeat([]byte{0xff}, 9)
	for bits := range 8*len(msg) + 1 {
		sealed, err := EEA(key, frame, msg, bits)
		if err != nil {
			t.Fatal(err)
		}
		back, err := EEA(key, frame, sealed, bits)
		want := bytes.Clone(msg[:(bits+7)/8])
		if bits%8 > 0 {
			want[len(want)-1] <<= 8 - bits%8
		}
		if err != nil || !bytes.Equal(back, want) {
			t.Errorf("%d bits: %x, %v", bits, back, err)
		}
	}
	for name, f := range map[string]func() (any, error){
		"bits":          func() (any, error) { return EIA(key, frame, msg, 73) },
		"negative":      func() (any, error) { return EEA(key, frame, msg, -1) },
		"negative MAC":  func() (any, error) { return MAC256(make([]byte, 32), make([]byte, 23), 4, msg, -8) },
		"bearer":        func() (any, error) { return EEA(key, Frame{Bearer: 32}, msg, 1) },
		"direction":     func() (any, error) { return EIA(key, Frame{Direction: 2}, msg, 1) },
		"key":           func() (any, error) { return EIA(key[1:], frame, msg, 1) },
		"key of EEA":    func() (any, error) { return EEA(make([]byte, 32), frame, msg, 1) },
		"IV":            func() (any, error) { return New(key, make([]byte, 23)) },
		"256's IV":      func() (any, error) { return New256(make([]byte, 32), make([]byte, 16)) },
		"size of a MAC": func() (any, error) { return MAC256(make([]byte, 32), make([]byte, 23), 5, msg, 8) },
	} {
		if got, err := f(); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}
