package module

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/core"
)

// What takes long is left at once, and no file is there before it was done.
func TestInterrupted(t *testing.T) {
	s := newShell(t)
	s.write("word", "password")
	s.write("text", "a letter")
	s.run("luks format disk --size 64KiB --iterations 1000 --key-file word")
	disk := string(s.read("disk"))
	before := names(t)
	for _, line := range []string{
		"luks format slow --iterations 3000000 --size 1MiB --key-file word",
		"luks format disk --force --iterations 3000000 --size 1MiB --key-file word",
		"luks add-key disk --key-file word --new-key-file text --iterations 3000000",
		"key gen --alg rsa --bits 16384 --no-pass --out slow", "key gen --iterations 3000000 --new-pass file:word --out slow",
		"enc text --iterations 3000000 --new-pass file:word --out slow", "enc text --iterations 3000000 --new-pass file:word --out -",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		_, _, err := runVerb(ctx, &core.Env{}, strings.NewReader(""), strings.Fields(line)...)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
			t.Errorf("%s: %v after %v", line, err, took)
		}
		cancel()
		if now := names(t); now != before {
			t.Errorf("%s: there are %s, want %s", line, now, before)
		}
	}
	if string(s.read("disk")) != disk {
		t.Error("the container was written to")
	}
}

// names are those of the files that are here.
func names(t *testing.T) string {
	t.Helper()
	all, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, e := range all {
		text = append(text, e.Name())
	}
	return strings.Join(text, " ")
}
