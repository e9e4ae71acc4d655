// Package wycheproof reads the test vectors of Project Wycheproof, for tests.
package wycheproof

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"

	vectors "github.com/c2sp/wycheproof"
)

// Bytes are written in hexadecimal.
type Bytes []byte

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	got, err := hex.DecodeString(s)
	*b = got
	return err
}

// AEAD is a test of a cipher with additional data; sizes are in bits.
type AEAD struct {
	ID                           int    `json:"tcId"`
	Comment                      string `json:"comment"`
	Key, IV, AAD, Msg, CT, Tag   Bytes
	Result                       string `json:"result"`
	IVSize, KeySize, TagSizeBits int    `json:"-"`
}

// Valid says whether it is to be taken.
func (a *AEAD) Valid() bool { return a.Result == "valid" }

// MAC is a test of a code of so many bits.
type MAC struct {
	ID            int    `json:"tcId"`
	Comment       string `json:"comment"`
	Key, Msg, Tag Bytes
	Result        string `json:"result"`
	TagSize       int    `json:"-"`
}

// Valid says whether it is to be taken.
func (m *MAC) Valid() bool { return m.Result == "valid" }

// AEADs gives f each test of a file; it fails where there are fewer than the file says.
func AEADs(t *testing.T, file string, f func(*AEAD)) {
	t.Helper()
	each(t, file, func(g sizes, a *AEAD) {
		a.IVSize, a.KeySize, a.TagSizeBits = g.IVSize, g.KeySize, g.TagSize
		f(a)
	})
}

// MACs is AEADs for codes.
func MACs(t *testing.T, file string, f func(*MAC)) {
	t.Helper()
	each(t, file, func(g sizes, m *MAC) {
		m.TagSize = g.TagSize
		f(m)
	})
}

// sizes are of a group of tests.
type sizes struct{ IVSize, KeySize, TagSize int }

func each[T any](t *testing.T, file string, f func(sizes, *T)) {
	t.Helper()
	b, err := fs.ReadFile(vectors.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		NumberOfTests int
		TestGroups    []struct {
			sizes
			Tests []T
		}
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", file, err))
	}
	n := 0
	for _, g := range all.TestGroups {
		for i := range g.Tests {
			f(g.sizes, &g.Tests[i])
			n++
		}
	}
	if n == 0 || n != all.NumberOfTests {
		t.Errorf("%s: %d tests, want %d", file, n, all.NumberOfTests)
	}
}
