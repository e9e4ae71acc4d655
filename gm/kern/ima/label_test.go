package ima

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var digest32 = bytes.Repeat([]byte{0xab}, 32)

func TestParse(t *testing.T) {
	sig := []byte("\x03\x02\x11\x01\x02\x03\x04\x00\x02ab")
	cases := []struct {
		name string
		in   []byte
		want error
		say  string
	}{
		{"signature", sig, nil, ""},
		{"portable", append([]byte{5}, sig[1:]...), nil, ""},
		{"digest", append([]byte{4, 17}, digest32...), nil, ""},
		{"empty", nil, ErrMalformed, "0 bytes"},
		{"too long", make([]byte, MaxLabel+1), ErrMalformed, "must be 1 to"},
		{"type alone", []byte{3}, ErrMalformed, "of a header"},
		{"cut header", sig[:8], ErrMalformed, "8 bytes of a header of 9"},
		{"no signature", []byte("\x03\x02\x11\x01\x02\x03\x04\x00\x00"), ErrMalformed, "0 bytes"},
		{"cut signature", sig[:10], ErrMalformed, "1 bytes where the header says 2"},
		{"more than it says", append(bytes.Clone(sig), 'c'), ErrMalformed, "3 bytes where"},
		{"version 1", append([]byte{3, 1}, sig[2:]...), ErrAlgo, "version 1"},
		{"version 3", append([]byte{3, 3}, sig[2:]...), ErrAlgo, "version 3"},
		{"hash of the future", append([]byte{3, 2, 99}, sig[3:]...), ErrAlgo, "hash 99"},
		{"SHA-1", append([]byte{3, 2, 2}, sig[3:]...), ErrAlgo, "hash 2"},
		{"HMAC", append([]byte{2}, digest32[:20]...), ErrAlgo, "kernel's"},
		{"SHA-1 digest of old", append([]byte{1}, digest32[:20]...), ErrAlgo, "type 1"},
		{"verity", append([]byte{6}, sig[1:]...), ErrAlgo, "type 6"},
		{"digest without hash", []byte{4}, ErrMalformed, "number"},
		{"short digest", append([]byte{4, 17}, digest32[:31]...), ErrMalformed, "31 bytes"},
		{"long digest", append([]byte{4, 17}, append(bytes.Clone(digest32), 0)...), ErrMalformed, "33 bytes"},
		{"digest of MD5", append([]byte{4, 1}, digest32[:16]...), ErrAlgo, "hash 1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, err := Parse(c.in)
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.say) {
				t.Fatalf("error %v, want %v with %q", err, c.want, c.say)
			}
			if err == nil && !bytes.Equal(l.Bytes(), c.in) {
				t.Errorf("wrote %x, read %x", l.Bytes(), c.in)
			}
		})
	}
}

func TestParseAlgo(t *testing.T) {
	for a := range algos {
		if got, err := ParseAlgo(a.String()); err != nil || got != a {
			t.Errorf("%v: %v, %v", a, got, err)
		}
		if n := a.New().Size(); n != a.Size() || int(algos[a].prefix[len(algos[a].prefix)-1]) != n {
			t.Errorf("%v: %d bytes, said to be %d", a, n, a.Size())
		}
	}
	for _, name := range []string{"", "md5", "SM3", "hash 17"} {
		if _, err := ParseAlgo(name); err == nil {
			t.Errorf("%q is taken for a hash", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x03\x02\x11\x01\x02\x03\x04\x00\x02ab"))
	f.Add(append([]byte{4, 17}, digest32...))
	f.Add([]byte{5, 2, 4, 0, 0, 0, 0, 0xff, 0xff})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Bytes(), b) {
			t.Fatalf("wrote %x, read %x", l.Bytes(), b)
		}
		_ = (&Keyring{}).Verify(l, digest32)
	})
}
