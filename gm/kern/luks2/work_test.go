package luks2

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// A slot that takes more than half of the memory is told, and nothing is taken.
func TestMemory(t *testing.T) {
	m, _, _ := made(t, Options{Slot: SlotOptions{KDF: KDF{Type: "argon2id", Time: 4, Memory: 1 << 10, CPUs: 1}}}, 4096)
	old := machine
	defer func() { machine = old }()
	for have, want := range map[uint64]error{2<<10 - 2: ErrMemory, 2 << 10: nil} {
		machine = func() uint64 { return have }
		c, err := Open(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Unlock(t.Context(), []byte("first"), -1); !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "1024 KiB") {
			t.Errorf("%d KiB: %v, want %v", have, err, want)
		}
	}
	if got := old(); got < 64<<10 {
		t.Errorf("this machine has %d KiB", got)
	}
}

// weaken has a container's first slot take so little work as no slot that is written here.
func weaken(t *testing.T, c *Container, key *Key, kdf KDF) {
	t.Helper()
	s := c.meta.parsed["0"]
	kdf.Salt = s.KDF.Salt
	s.KDF = kdf
	secret, err := kdf.derive(t.Context(), []byte("first"), s.Area.KeySize)
	if err == nil {
		err = c.writeArea(s, key.bytes, secret)
	}
	if err == nil {
		c.meta.slots["0"], err = plainJSON(s)
	}
	if err == nil {
		err = c.write()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What takes too little work is opened, and not written.
func TestWeak(t *testing.T) {
	for _, kdf := range []KDF{
		{Type: "pbkdf2", Hash: "sha256", Iterations: 1}, {Type: "pbkdf2", Hash: "sm3", Iterations: leastRounds - 1},
		{Type: "argon2id", Time: leastPasses - 1, Memory: 1 << 10, CPUs: 1}, {Type: "argon2i", Time: leastPasses, Memory: leastMemory - 1, CPUs: 1},
	} {
		m, c, key := made(t, Options{}, 4096)
		weaken(t, c, key, kdf)
		opens(t, m, "first", 0)
		before := bytes.Clone(m.b)
		if _, err := c.AddKey(t.Context(), key, []byte("second"), SlotOptions{KDF: kdf}); !errors.Is(err, ErrWeak) {
			t.Errorf("add %+v: %v", kdf, err)
		}
		if _, _, err := Format(t.Context(), m, []byte("second"), Options{Slot: SlotOptions{KDF: kdf}}); !errors.Is(err, ErrWeak) {
			t.Errorf("format %+v: %v", kdf, err)
		}
		if !bytes.Equal(m.b, before) {
			t.Errorf("%+v: something was written", kdf)
		}
	}
}

// Whoever derives for longer than is waited for writes nothing.
func TestCanceled(t *testing.T) {
	m, c, key := made(t, Options{}, 4096)
	c.meta.parsed["0"].KDF.Iterations = 2_000_000
	before := bytes.Clone(m.b)
	long := SlotOptions{KDF: KDF{Iterations: 2_000_000}}
	for name, do := range map[string]func(context.Context) error{
		"format": func(ctx context.Context) error {
			_, _, err := Format(ctx, m, []byte("second"), Options{Slot: long})
			return err
		},
		"add":    func(ctx context.Context) error { _, err := c.AddKey(ctx, key, []byte("second"), long); return err },
		"unlock": func(ctx context.Context) error { _, err := c.Unlock(ctx, []byte("first"), -1); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		begin := time.Now()
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
		cancel()
	}
	if !bytes.Equal(m.b, before) {
		t.Error("something was written")
	}
}

// Room is found beside whatever areas there are, and none where a sum would overflow.
func TestFree(t *testing.T) {
	slot := func(from, size number) json.RawMessage {
		b, err := json.Marshal(map[string]any{"type": "new", "area": map[string]any{"offset": from, "size": size}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const begin = 2 * headerSize
	for _, c := range []struct {
		name string
		slot json.RawMessage
		want int64 // 0 for none
	}{
		{"nothing", json.RawMessage(`{"type":"new"}`), begin},
		{"at the start", slot(begin, 100), begin + align},
		{"behind", slot(begin+2*align, align), begin},
		{"too near", slot(begin+align, align), begin + 2*align},
		{"all", slot(begin, 16*align), 0},
		{"overflows", slot(math.MaxInt64, math.MaxInt64), begin},
		{"overflows from the start on", slot(begin, math.MaxInt64), 0},
	} {
		m := &metadata{slots: map[string]json.RawMessage{"3": c.slot}, config: Config{SlotsSize: 16 * align}}
		name, at, err := m.free(headerSize, 2*align)
		if (err == nil) != (c.want > 0) || err == nil && (at != c.want || name != "0") {
			t.Errorf("%s: %q at %d, %v, want %d", c.name, name, at, err, c.want)
		}
	}
}
