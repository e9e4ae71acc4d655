package luks2

import (
	"encoding/json"
	"testing"
)

func FuzzHeader(f *testing.F) {
	m, _, _ := made(f, Options{}, 0)
	rest := m.b[512 : 2*headerSize]
	f.Add(m.b[:512])
	f.Add(m.b[headerSize:][:512])
	f.Add(m.b[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			return
		}
		whole := make([]byte, 512, 2*headerSize)
		copy(whole, b)
		if c, err := Open(&memory{b: append(whole, rest...)}); err == nil {
			if _, err := json.Marshal(c.Info()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzMetadata has JSON that a checksum is right for.
func FuzzMetadata(f *testing.F) {
	_, c, _ := made(f, Options{}, 0)
	raw, err := c.meta.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"keyslots":{},"segments":{},"digests":{},"tokens":{},"config":{"json_size":"12288","keyslots_size":"0"}}`))
	f.Add([]byte(`{"keyslots":{"0":null},"segments":{"0":null},"digests":{"0":null},"tokens":{"0":null},"config":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMetadata(b, headerSize)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseMetadata(again, headerSize); err != nil {
			t.Fatalf("written and not read: %v\n%s", err, again)
		}
		_, _, _ = m.free(headerSize, align)
		c := &Container{f: &memory{b: make([]byte, 64<<10)}, head: binaryHeader{size: headerSize}, meta: m}
		if _, err := json.Marshal(c.Info()); err != nil {
			t.Fatal(err)
		}
		_ = c.order(-1)
		for segment := range m.segments {
			if v, err := c.Volume(&Key{bytes: make([]byte, 32), segment: segment}); err == nil {
				_, _ = v.ReadAt(make([]byte, 100), 5)
			}
		}
	})
}
