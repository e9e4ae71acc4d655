package luks2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// quick is a KDF that takes no time.
var quick = SlotOptions{KDF: KDF{Iterations: 1000}}

// memory is a File that is not there, and notes what was written.
type memory struct {
	b      []byte
	writes []write
}

type write struct {
	at int64
	b  []byte
}

func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(b, m.b[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	m.writes = append(m.writes, write{at, slices.Clone(b)})
	m.apply(at, b)
	return len(b), nil
}

func (m *memory) apply(at int64, b []byte) {
	if need := int(at) + len(b); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	copy(m.b[at:], b)
}

func (m *memory) Seek(_ int64, whence int) (int64, error) {
	if whence != io.SeekEnd {
		return 0, errors.New("not like this")
	}
	return int64(len(m.b)), nil
}

func (m *memory) Sync() error { return nil }

// made is a container with a volume of so many bytes.
func made(t testing.TB, o Options, volume int) (*memory, *Container, *Key) {
	t.Helper()
	if o.DataOffset == 0 {
		o.DataOffset = 2 << 20
	}
	if o.Slot.KDF.Type == "" && o.Slot.KDF.Iterations == 0 {
		o.Slot.KDF = quick.KDF
	}
	m := &memory{b: make([]byte, int(o.DataOffset)+volume)}
	c, key, err := Format(t.Context(), m, []byte("first"), o)
	if err != nil {
		t.Fatal(err)
	}
	return m, c, key
}

func opens(t testing.TB, f File, passphrase string, slot int) *Key {
	t.Helper()
	c, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.Unlock(t.Context(), []byte(passphrase), slot)
	if err != nil {
		t.Fatalf("%s: %v", passphrase, err)
	}
	return key
}

func TestKeys(t *testing.T) {
	for name, o := range map[string]Options{
		"own": {}, "AES": {Cipher: AESXTS}, "AES of 128 bits, SHA-256": {Cipher: AESXTS, KeySize: 32, Hash: "sha256", Slot: SlotOptions{Hash: "sha256", KDF: KDF{Hash: "sha256", Iterations: 1000}}},
		"Argon2": {Slot: SlotOptions{KDF: KDF{Type: "argon2id", Time: 4, Memory: 64, CPUs: 1}}}, "SHA-512": {Hash: "sha512", Slot: SlotOptions{Hash: "sha512", KDF: KDF{Hash: "sha512", Iterations: 1000}}},
		"slots under AES": {Slot: SlotOptions{Cipher: AESXTS, KDF: KDF{Iterations: 1000}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, c, key := made(t, o, 4096)
			if got := opens(t, m, "first", -1); !bytes.Equal(got.bytes, key.bytes) {
				t.Fatal("another key")
			}
			slot, err := c.AddKey(t.Context(), key, []byte("second"), quick)
			if err != nil || slot != 1 {
				t.Fatal(slot, err)
			}
			for pass, only := range map[string]int{"first": 0, "second": 1} {
				for _, slot := range []int{-1, only} {
					if got := opens(t, m, pass, slot); !bytes.Equal(got.bytes, key.bytes) {
						t.Errorf("%s: another key", pass)
					}
				}
			}
			if _, err := c.Unlock(t.Context(), []byte("first"), 1); !errors.Is(err, ErrPassphrase) {
				t.Errorf("the first passphrase in the second slot: %v", err)
			}
			if _, err := c.Unlock(t.Context(), []byte("third"), -1); !errors.Is(err, ErrPassphrase) {
				t.Errorf("a passphrase that is wrong: %v", err)
			}
			if err := c.RemoveKey(0, false); err != nil {
				t.Fatal(err)
			}
			again, err := Open(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := again.Unlock(t.Context(), []byte("first"), -1); !errors.Is(err, ErrPassphrase) {
				t.Errorf("a passphrase that was removed: %v", err)
			}
			opens(t, m, "second", -1)
			if err := again.RemoveKey(1, false); err == nil || !strings.Contains(err.Error(), "last") {
				t.Errorf("the last slot: %v", err)
			}
			if err := again.RemoveKey(0, false); err == nil {
				t.Error("a slot that is not there is removed")
			}
			if err := again.RemoveKey(1, true); err != nil {
				t.Error(err)
			}
			if _, err := again.Unlock(t.Context(), []byte("second"), -1); !errors.Is(err, ErrPassphrase) {
				t.Errorf("no slots: %v", err)
			}
		})
	}
}

// TestOldKeyIsGone: with a header of before, a passphrase that was removed opens no more.
func TestOldKeyIsGone(t *testing.T) {
	m, c, key := made(t, Options{}, 0)
	before := slices.Clone(m.b[:2*headerSize])
	if _, err := c.AddKey(t.Context(), key, []byte("second"), quick); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveKey(0, false); err != nil {
		t.Fatal(err)
	}
	copy(m.b, before)
	old, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Unlock(t.Context(), []byte("first"), -1); !errors.Is(err, ErrPassphrase) {
		t.Errorf("%v", err)
	}
}

func TestManySlots(t *testing.T) {
	_, c, key := made(t, Options{DataOffset: 16 << 20}, 0)
	for i := 1; i < maxSlots; i++ {
		if slot, err := c.AddKey(t.Context(), key, fmt.Append(nil, i), quick); err != nil || slot != i {
			t.Fatalf("%d: slot %d, %v", i, slot, err)
		}
	}
	if _, err := c.AddKey(t.Context(), key, []byte("more"), quick); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("%v", err)
	}
	if err := c.RemoveKey(7, false); err != nil {
		t.Fatal(err)
	}
	if slot, err := c.AddKey(t.Context(), key, []byte("more"), quick); err != nil || slot != 7 {
		t.Errorf("slot %d, %v", slot, err)
	}
	seen := map[number]bool{}
	for _, s := range c.KeySlots() {
		if seen[s.Area.Offset] {
			t.Errorf("two at %d", s.Area.Offset)
		}
		seen[s.Area.Offset] = true
	}
	_, small, key := made(t, Options{DataOffset: 1 << 20}, 0)
	var err error
	for range 20 {
		if _, err = small.AddKey(t.Context(), key, []byte("x"), quick); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v", err)
	}
}

func TestVolume(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		for _, cipher := range []string{SM4XTS, AESXTS} {
			t.Run(fmt.Sprint(cipher, sector), func(t *testing.T) {
				const size = 3<<20 + 4096
				m, c, key := made(t, Options{Cipher: cipher, SectorSize: sector}, size+100)
				v, err := c.Volume(key)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := v.Size(); err != nil || n != size {
					t.Fatal(n, err)
				}
				want := make([]byte, size)
				for at := 0; at < size; at += 1 << 20 {
					if _, err := v.WriteAt(want[at:min(size, at+1<<20)], int64(at)); err != nil {
						t.Fatal(err)
					}
				}
				seed := 1
				for i, at := range []int{0, 1, 511, 512, 513, 4095, 4096, 5000, 1<<20 - 1, 1 << 20, size - 513, size - 1, 100} {
					n := []int{0, 1, 2, 511, 512, 513, 4096, 4097, 10000, 1<<20 + 3, 2 << 20, 100, 8192}[i]
					b := make([]byte, min(n, size-at))
					for j := range b {
						seed = seed*1103515245 + 12345
						b[j] = byte(seed >> 16)
					}
					copy(want[at:], b)
					if n, err := v.WriteAt(b, int64(at)); err != nil || n != len(b) {
						t.Fatalf("write %d at %d: %d, %v", len(b), at, n, err)
					}
				}
				got := make([]byte, size)
				if n, err := v.ReadAt(got, 0); err != nil || n != size || !bytes.Equal(got, want) {
					t.Fatalf("%d, %v, same %v", n, err, bytes.Equal(got, want))
				}
				for _, at := range []int{0, 1, 511, 4097, size - 5, size} {
					b := make([]byte, 10)
					n, err := v.ReadAt(b, int64(at))
					if left := min(10, size-at); n != left || !bytes.Equal(b[:n], want[at:at+n]) || (err == io.EOF) != (left < 10) {
						t.Errorf("read at %d: %d, %v", at, n, err)
					}
				}
				for _, at := range []int64{size - 1, size, size + 5, 1 << 62} {
					if n, err := v.WriteAt([]byte{1, 2}, at); err == nil || n != 0 {
						t.Errorf("write past the end at %d: %d, %v", at, n, err)
					}
				}
				if _, err := v.ReadAt(got, -1); err == nil {
					t.Error("read before the beginning")
				}
				if bytes.Contains(m.b[2<<20:], want[1<<20:1<<20+64]) {
					t.Error("the volume is in the clear")
				}
			})
		}
	}
}

// TestDamaged spoils copies of the header.
func TestDamaged(t *testing.T) {
	spoil := func(m *memory, ats ...int) {
		for _, at := range ats {
			m.b[at] ^= 0x40
		}
	}
	cases := []struct {
		name string
		at   []int
		want error
		warn string
	}{
		{"none", nil, nil, ""},
		{"first magic", []int{0}, nil, "first copy"},
		{"first size", []int{10}, nil, "first copy"},
		{"first sequence", []int{20}, nil, "first copy"},
		{"first checksum", []int{checksumAt}, nil, "first copy"},
		{"first JSON", []int{binarySize + 5}, nil, "first copy"},
		{"second magic", []int{headerSize}, nil, "second copy"},
		{"second JSON", []int{headerSize + binarySize + 5}, nil, "second copy"},
		{"both JSON", []int{binarySize + 5, headerSize + binarySize + 5}, ErrDamaged, ""},
		{"first JSON, second magic", []int{binarySize + 5, headerSize}, ErrDamaged, ""},
		{"both magics", []int{0, headerSize}, ErrNoHeader, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, _, _ := made(t, Options{}, 0)
			spoil(m, c.at...)
			got, err := Open(m)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err != nil {
				return
			}
			if w := got.Warning(); (w == nil) != (c.warn == "") || w != nil && !strings.Contains(w.Error(), c.warn) {
				t.Fatalf("warning %v, want %q", w, c.warn)
			}
			key, err := got.Unlock(t.Context(), []byte("first"), -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := got.AddKey(t.Context(), key, []byte("second"), quick); err != nil {
				t.Fatal(err)
			}
			again, err := Open(m)
			if err != nil || again.Warning() != nil {
				t.Errorf("a change does not mend it: %v, %v", err, again.Warning())
			}
		})
	}
}

// TestKilled ends at every write, before, in and after it: each passphrase that was good
// before is good then, but for one that is being removed.
func TestKilled(t *testing.T) {
	m, c, key := made(t, Options{}, 0)
	if _, err := c.AddKey(t.Context(), key, []byte("second"), quick); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		change func() error
	}{
		{"add", func() error { _, err := c.AddKey(t.Context(), key, []byte("third"), quick); return err }},
		{"remove", func() error { return c.RemoveKey(0, false) }},
	} {
		t.Run(step.name, func(t *testing.T) {
			before := slices.Clone(m.b)
			m.writes = nil
			if err := step.change(); err != nil {
				t.Fatal(err)
			}
			for i := range m.writes {
				for _, part := range []int{0, 1, 512, 4096, 9000, 1 << 30} {
					disk := &memory{b: slices.Clone(before)}
					for _, w := range m.writes[:i] {
						disk.apply(w.at, w.b)
					}
					w := m.writes[i]
					disk.apply(w.at, w.b[:min(part, len(w.b))])
					opens(t, disk, "second", -1)
					if step.name == "add" {
						opens(t, disk, "first", -1)
					}
				}
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	edit := func(change func(m map[string]any)) *memory {
		m, c, _ := made(t, Options{}, 4096)
		raw, err := c.meta.encode()
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		change(doc)
		if raw, err = json.Marshal(doc); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{0, headerSize} {
			b, err := c.head.encode(raw, at)
			if err != nil {
				t.Fatal(err)
			}
			m.apply(at, b)
		}
		return m
	}
	in := func(doc map[string]any, path ...string) map[string]any {
		for _, p := range path {
			doc = doc[p].(map[string]any)
		}
		return doc
	}
	cases := []struct {
		name, want string
		change     func(doc map[string]any)
	}{
		{"nothing", "", func(map[string]any) {}},
		{"requirements", "online-reencrypt", func(d map[string]any) {
			in(d, "config")["requirements"] = map[string]any{"mandatory": []string{"online-reencrypt"}}
		}},
		{"no segments", "segments", func(d map[string]any) { delete(d, "segments") }},
		{"many slots", "more than", func(d map[string]any) {
			for i := range 40 {
				in(d, "keyslots")[fmt.Sprint(i)] = in(d, "keyslots")["0"]
			}
		}},
		{"area beyond", "not among", func(d map[string]any) { in(d, "keyslots", "0", "area")["offset"] = "9000000000000000000" }},
		{"area in the header", "not among", func(d map[string]any) { in(d, "keyslots", "0", "area")["offset"] = "4096" }},
		{"area is small", "its key takes", func(d map[string]any) { in(d, "keyslots", "0", "area")["size"] = "4096" }},
		{"area is huge", "not among", func(d map[string]any) { in(d, "keyslots", "0", "area")["size"] = "9223372036854775807" }},
		{"key is huge", "a key of", func(d map[string]any) { in(d, "keyslots", "0")["key_size"] = 1 << 30 }},
		{"negative", "a key of", func(d map[string]any) { in(d, "keyslots", "0")["key_size"] = -1 }},
		{"stripes", "spread", func(d map[string]any) { in(d, "keyslots", "0", "af")["stripes"] = 1 << 30 }},
		{"memory", "Argon2", func(d map[string]any) {
			in(d, "keyslots", "0")["kdf"] = map[string]any{"type": "argon2id", "time": 1, "memory": 1 << 40, "cpus": 1, "salt": ""}
		}},
		{"rounds", "iterations of PBKDF2", func(d map[string]any) { in(d, "keyslots", "0", "kdf")["iterations"] = 1<<31 - 1 }},
		{"rounds of the digest", "no digest", func(d map[string]any) { in(d, "digests", "0")["iterations"] = 1<<31 - 1 }},
		{"passes over much", "Argon2", func(d map[string]any) {
			in(d, "keyslots", "0")["kdf"] = map[string]any{"type": "argon2id", "time": 1 << 16, "memory": 1 << 20, "cpus": 1, "salt": ""}
		}},
		{"long key, before the work", "a key of 512", func(d map[string]any) {
			in(d, "keyslots", "0", "area")["key_size"] = 512
			in(d, "keyslots", "0", "kdf")["iterations"] = maxRounds
		}},
		{"foreign slot's area overflows", "not among", func(d map[string]any) {
			in(d, "keyslots")["7"] = map[string]any{"type": "new", "area": map[string]any{"offset": "9223372036854775807", "size": "9223372036854775807"}}
		}},
		{"foreign slot's area in the header", "not among", func(d map[string]any) {
			in(d, "keyslots")["7"] = map[string]any{"type": "new", "area": map[string]any{"offset": "0", "size": "4096"}}
		}},
		{"foreign slot's area is another's", "bytes of another", func(d map[string]any) {
			in(d, "keyslots")["7"] = map[string]any{"type": "new", "area": map[string]any{"offset": "36864", "size": "4096"}}
		}},
		{"number as number", "key slot", func(d map[string]any) { in(d, "keyslots", "0", "area")["offset"] = 32768 }},
		{"hash", "md5", func(d map[string]any) { in(d, "keyslots", "0", "af")["hash"] = "md5" }},
		{"cipher", "serpent", func(d map[string]any) { in(d, "keyslots", "0", "area")["encryption"] = "serpent-xts-plain64" }},
		{"digest of nothing", "not there", func(d map[string]any) { in(d, "digests", "0")["keyslots"] = []string{"5"} }},
		{"volume's cipher", "twofish", func(d map[string]any) { in(d, "segments", "0")["encryption"] = "twofish-xts-plain64" }},
		{"integrity", "integrity", func(d map[string]any) { in(d, "segments", "0")["integrity"] = map[string]any{"type": "hmac"} }},
		{"sectors", "sectors", func(d map[string]any) { in(d, "segments", "0")["sector_size"] = 7 }},
		{"two segments", "segments", func(d map[string]any) { in(d, "segments")["1"] = in(d, "segments")["0"] }},
		{"linear", "no crypt", func(d map[string]any) { in(d, "segments", "0")["type"] = "linear" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := edit(c.change)
			err := func() error {
				got, err := Open(m)
				if err != nil {
					return err
				}
				key, err := got.Unlock(t.Context(), []byte("first"), -1)
				if err != nil {
					return err
				}
				_, err = got.Volume(key)
				return err
			}()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestForeignParts keeps what others have put into the header.
func TestForeignParts(t *testing.T) {
	m, c, key := made(t, Options{Label: "data", Subsystem: "x"}, 0)
	c.meta.tokens["0"] = json.RawMessage(`{"type":"systemd-tpm2","keyslots":["0"],"blob":"<&>"}`)
	c.meta.slots["9"] = json.RawMessage(`{"type":"reencrypt","area":{"type":"none","offset":"1048576","size":"4096"},"mode":"encrypt"}`)
	if _, err := c.AddKey(t.Context(), key, []byte("second"), quick); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveKey(0, false); err != nil {
		t.Fatal(err)
	}
	again, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	i := again.Info()
	if got := string(i.Tokens["0"]); got != `{"blob":"<&>","keyslots":[],"type":"systemd-tpm2"}` {
		t.Errorf("token %s", got)
	}
	if got := string(i.Slots["9"]); !strings.Contains(got, `"mode":"encrypt"`) || len(i.Slots) != 2 {
		t.Errorf("slots %s", i.Slots)
	}
	if i.Label != "data" || i.Subsystem != "x" || len(i.UUID) != 36 {
		t.Errorf("%+v", i)
	}
}

func TestFormatRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"cipher": {Cipher: "rc4"}, "key": {KeySize: 16}, "sector": {SectorSize: 513}, "hash": {Hash: "md5"}, "offset": {DataOffset: 12345},
		"label": {Label: strings.Repeat("x", 48)}, "slot": {Slot: SlotOptions{Cipher: "rc4"}}, "kdf": {Slot: SlotOptions{KDF: KDF{Type: "scrypt"}}},
		"memory": {Slot: SlotOptions{KDF: KDF{Type: "argon2id", Memory: 1}}},
	} {
		m := &memory{}
		if _, _, err := Format(t.Context(), m, []byte("x"), o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNoContainer(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "short": make([]byte, 100), "zeros": make([]byte, 1<<20)} {
		if _, err := Open(&memory{b: b}); !errors.Is(err, ErrNoHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
	luks1 := make([]byte, 1<<20)
	copy(luks1, "LUKS\xba\xbe\x00\x01")
	if _, err := Open(&memory{b: luks1}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("LUKS1: %v", err)
	}
	cut, _, _ := made(t, Options{}, 0)
	if _, err := Open(&memory{b: cut.b[:8000]}); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut: %v", err)
	}
	p := filepath.Join(t.TempDir(), "real")
	if err := os.WriteFile(p, cut.b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	opens(t, f, "first", -1)
}

func TestSplit(t *testing.T) {
	for name, h := range hashes {
		for _, n := range []int{1, 16, 31, 32, 33, 64, 100} {
			key := make([]byte, n)
			for i := range key {
				key[i] = byte(i * 3)
			}
			spread, err := split(h, key)
			if err != nil {
				t.Fatal(err)
			}
			if got := merge(h, spread); !bytes.Equal(got, key) {
				t.Errorf("%s, %d: %x", name, n, got)
			}
			spread[n*stripes/2] ^= 1
			if got := merge(h, spread); n >= 16 && bytes.Equal(got, key) {
				t.Errorf("%s, %d: a stripe does not matter", name, n)
			}
		}
	}
}
