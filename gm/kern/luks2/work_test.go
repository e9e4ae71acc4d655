package luks2

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

// A slot that takes more than half of the memory is told, and nothing is taken.
func TestMemory(t *testing.T) {
	m, _, _ := made(t, Options{Slot: SlotOptions{KDF: KDF{Type: "argon2id", Time: 1, Memory: 1 << 10, CPUs: 1}}}, 4096)
	old := machine
	defer func() { machine = old }()
	for have, want := range map[uint64]error{2<<10 - 2: ErrMemory, 2 << 10: nil} {
		machine = func() uint64 { return have }
		c, err := Open(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Unlock([]byte("first"), -1); !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "1024 KiB") {
			t.Errorf("%d KiB: %v, want %v", have, err, want)
		}
	}
	if got := old(); got < 64<<10 {
		t.Errorf("this machine has %d KiB", got)
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
