package gmt0005

import (
	"bytes"
	"testing"
)

// Whatever the sample, each value is a probability.
func FuzzSample(f *testing.F) {
	for _, seed := range []string{"\x00", "\xff", "U", "\x01", "\xff\x00", "anole", "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"} {
		f.Add([]byte(seed))
	}
	tests, err := Tests(Short)
	if err != nil {
		f.Fatal(err)
	}
	tests = append(tests, one("rank", (*Bits).Rank), one("universal", func(s *Bits) Value { return s.Universal(7, 1280) }))
	tests = append(tests, with("linear", "m", (*Bits).LinearComplexity, 500, 999)...)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		s := NewBits(bytes.Repeat(b, Short/8/len(b)+1), Short)
		for _, test := range tests {
			for _, v := range test.Run(s) {
				if !(v.P >= 0 && v.P <= 1 && v.Q >= 0 && v.Q <= 1) {
					t.Errorf("%s %s: P %v, Q %v", test.Name, test.Param, v.P, v.Q)
				}
			}
		}
	})
}
