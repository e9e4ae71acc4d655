package sm3

import (
	"bytes"

	peer "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/gm/internal/kat"
)

// GB/T 32905-2016, appendix A: "abc", and "abcd" 16 times.
const (
	katABC  = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
	katABCD = "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
)

// Checks are the self-tests of each implementation that the processor has: known answers,
// and the same results as gmsm's for many lengths; and of HMAC and KDF.
func Checks() (all []kat.Check) {
	const one, many, cross = "SM3 Sum", "SM3 SumMany", "SM3 against gmsm"
	for _, l := range impl.Available() {
		k, ok := implementations[l]
		if !ok {
			continue
		}
		name := l.String()
		each := func(dst [][Size]byte, messages [][]byte) {
			for i, m := range messages {
				dst[i] = k.sum(m)
			}
		}
		all = append(all,
			kat.Check{Name: one, Implementation: name, Run: func() error { return answers(one, name, each) }},
			kat.Check{Name: many, Implementation: name, Run: func() error { return answers(many, name, k.many) }},
			kat.Check{Name: cross, Implementation: name, Run: func() error { return kat.True(cross, name, agrees(each) && agrees(k.many)) }})
	}
	return append(all, keyedChecks()...)
}

// GM/T 0042-2015, annex D.3: the MAC of 50 bytes cd under the key 0102…25. GB/T
// 32918.5-2017, annex C: what is derived from x2 and y2.
const (
	katMAC = "220bf579ded555393f0159f66c99877822a3ecf610d1552154b41d44b94db3ae"
	katXY  = "335e18d751e51f040e27d468138b7ab1dc86ad7f981d7d416222fd6ab3ed230d" +
		"ab743ebcfb22d64f7b6ab791f70658f25b48fa93e54064fdbfbed3f0bd847ac9"
	katDerived = "44e60fdbf0bae81437665374bef26749046c9e"
)

// keyedChecks are of HMAC and KDF, with the implementation that is taken.
func keyedChecks() []kat.Check {
	const mac, derived = "SM3 HMAC", "SM3 KDF"
	by := Implementation()
	return []kat.Check{
		{Name: mac, Implementation: by, Run: func() error {
			key := make([]byte, 37)
			for i := range key {
				key[i] = byte(i + 1)
			}
			h := NewHMAC(key)
			_, _ = h.Write(bytes.Repeat([]byte{0xcd}, 50))
			return kat.Equal(mac, by, h.Sum(nil), katMAC)
		}},
		{Name: derived, Implementation: by, Run: func() error {
			return kat.Equal(derived, by, KDF(kat.Hex(katXY), len(katDerived)/2), katDerived)
		}},
	}
}

// SelfTest runs Checks.
func SelfTest() error { return kat.Join(Checks()) }

// answers hashes the standard's examples, often enough to fill all lanes.
func answers(name, implementation string, f func([][Size]byte, [][]byte)) error {
	var messages [][]byte
	for range 10 {
		messages = append(messages, []byte("abc"), []byte("abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd"))
	}
	dst := make([][Size]byte, len(messages))
	f(dst, messages)
	for i := range dst {
		if err := kat.Equal(name, implementation, dst[i][:], [...]string{katABC, katABCD}[i%2]); err != nil {
			return err
		}
	}
	return nil
}

// agrees says whether messages of many lengths come out as gmsm has them.
func agrees(f func([][Size]byte, [][]byte)) bool {
	var messages [][]byte
	for n := range 40 {
		m := make([]byte, 7*n)
		for i := range m {
			m[i] = byte(i*i + n)
		}
		messages = append(messages, m)
	}
	dst := make([][Size]byte, len(messages))
	f(dst, messages)
	for i, m := range messages {
		if dst[i] != peer.Sum(m) {
			return false
		}
	}
	return true
}
