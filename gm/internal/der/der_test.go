package der

import (
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		ok        bool
	}{
		{"empty", "", false},
		{"integer", "020101", true},
		{"negative", "0201ff", true},
		{"integer of no byte", "0200", false},
		{"integer with a zero too many", "02020001", false},
		{"integer with a sign too many", "0202ff80", false},
		{"integer that needs its zero", "02020080", true},
		{"trailing", "02010100", false},
		{"truncated", "020201", false},
		{"long length where short does", "0281010100", false},
		{"length of zero bytes", "0280", false},
		{"length with a leading zero", "04820080" + strings.Repeat("00", 128), false},
		{"length of 128", "048180" + strings.Repeat("00", 128), true},
		{"huge length", "0484ffffffff00", false},
		{"length of length 8", "0488000000000000000100", false},
		{"true", "0101ff", true},
		{"true as 1", "010101", false},
		{"sequence", "3006020101020102", true},
		{"sequence whose element is too long", "3003020201", false},
		{"primitive sequence", "100302010100", false},
		{"octet string in pieces", "2403040101", false},
		{"indefinite", "3080020101" + "0000", false},
		{"bits", "0302070080", false},
		{"bits set that are not used", "03020701", false},
		{"bits used", "03020780", true},
		{"no bits", "030100", true},
		{"identifier that goes on", "06082a811ccf55018382", false},
		{"identifier of SM2", "06082a811ccf5501822d", true},
		{"identifier with padding", "060380012a", false},
		{"null", "0500", true},
		{"null with content", "050100", false},
		{"end of contents", "0000", false},
		{"context", "a003020101", true},
		{"high tag", "bf1f03020101", true},
		{"high tag for a low number", "bf1e03020101", false},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := Check(b); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	deep := []byte{2, 1, 1}
	for range deepest + 1 {
		deep, _ = asn1.Marshal(asn1.RawValue{Tag: 16, IsCompound: true, Bytes: deep})
	}
	if Check(deep) == nil {
		t.Error("nested too deep")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 2})
	f.Add([]byte{0xbf, 0x1f, 3, 2, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if Check(b) != nil {
			return
		}
		// What is accepted, encoding/asn1 finds to be one value as well.
		var v asn1.RawValue
		if rest, err := asn1.Unmarshal(b, &v); err != nil || len(rest) != 0 {
			t.Errorf("%x: %v, %d bytes left", b, err, len(rest))
		}
	})
}
