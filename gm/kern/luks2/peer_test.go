package luks2

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

// cryptsetup runs it. What it has to do needs neither device mapper nor AES in the kernel:
// OpenSSL does that.
func cryptsetup(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(testkit.NeedTool(t, "cryptsetup"), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestCryptsetupReadsOurs has it show the header and open key slots, whose areas must be
// under AES: it takes SM4 from the kernel, which has none here.
func TestCryptsetupReadsOurs(t *testing.T) {
	for name, o := range map[string]Options{
		"SM4 and SM3":     {Cipher: SM4XTS, Slot: SlotOptions{Cipher: AESXTS, KDF: KDF{Iterations: 1000}}},
		"SM4 and SHA-256": {Cipher: SM4XTS, Hash: "sha256", Slot: SlotOptions{Hash: "sha256", Cipher: AESXTS, KDF: KDF{Hash: "sha256", Iterations: 1000}}},
		"SM4 and Argon2":  {Cipher: SM4XTS, Slot: SlotOptions{Cipher: AESXTS, KDF: KDF{Type: "argon2id", Time: 4, Memory: 1024, CPUs: 2}}},
		"AES":             {Cipher: AESXTS, SectorSize: 512, Label: "data", Slot: SlotOptions{KDF: KDF{Iterations: 1000}}},
	} {
		t.Run(name, func(t *testing.T) {
			path, pass := file(t, "c", make([]byte, 17<<20)), file(t, "pass", []byte("first"))
			f := open(t, path)
			c, key, err := Format(t.Context(), f, []byte("first"), o)
			if err != nil {
				t.Fatal(err)
			}
			out, err := cryptsetup(t, "luksDump", path)
			cipher := o.Cipher
			if err != nil || !strings.Contains(out, "cipher: "+cipher) || !strings.Contains(out, c.head.uuid) {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err = cryptsetup(t, "open", "--test-passphrase", "--key-file", pass, path); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			second := file(t, "second", []byte("second"))
			if _, err := cryptsetup(t, "open", "--test-passphrase", "--key-file", second, path); err == nil {
				t.Error("it opens with any passphrase")
			}
			o.Slot.Hash = "sha512"
			if _, err := c.AddKey(t.Context(), key, []byte("second"), o.Slot); err != nil {
				t.Fatal(err)
			}
			if out, err = cryptsetup(t, "open", "--test-passphrase", "--key-slot", "1", "--key-file", second, path); err != nil {
				t.Errorf("the second slot: %v\n%s", err, out)
			}
			// It changes our header, and we read that.
			third := file(t, "third", []byte("third"))
			if out, err = cryptsetup(t, "luksAddKey", "-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--keyslot-cipher", AESXTS, "--keyslot-key-size", "512",
				"--key-file", pass, path, third); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := opens(t, f, "third", 2); !bytes.Equal(got.bytes, key.bytes) {
				t.Error("another key")
			}
			if c, err = Open(f); err != nil || c.RemoveKey(0, false) != nil {
				t.Fatal(err)
			}
			if _, err = cryptsetup(t, "open", "--test-passphrase", "--key-file", pass, path); err == nil {
				t.Error("a passphrase that was removed opens")
			}
			if out, err = cryptsetup(t, "open", "--test-passphrase", "--key-file", third, path); err != nil {
				t.Errorf("the third slot: %v\n%s", err, out)
			}
		})
	}
}

// TestCryptsetupSlotUnderSM4 has a slot that cryptsetup can open only where the kernel
// has SM4: it must see that, and not take the passphrase for a wrong one.
func TestCryptsetupSlotUnderSM4(t *testing.T) {
	path := file(t, "c", make([]byte, 17<<20))
	if _, _, err := Format(t.Context(), open(t, path), []byte("first"), Options{Slot: quick}); err != nil {
		t.Fatal(err)
	}
	if out, err := cryptsetup(t, "luksDump", path); err != nil || strings.Count(out, SM4XTS) != 2 || !strings.Contains(out, "sm3") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := cryptsetup(t, "open", "--test-passphrase", "--key-file", file(t, "pass", []byte("first")), path); err != nil && strings.Contains(out, "No key available") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestOursReadsCryptsetup(t *testing.T) {
	for name, args := range map[string][]string{
		"pbkdf2":   {"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"},
		"sm3":      {"--hash", "sm3", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-size", "256"},
		"argon2id": {"--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "1024", "--pbkdf-parallel", "2"},
		"argon2i":  {"--pbkdf", "argon2i", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "1024", "--pbkdf-parallel", "1", "--luks2-metadata-size", "64k"},
	} {
		t.Run(name, func(t *testing.T) {
			path, pass := file(t, "c", make([]byte, 17<<20)), file(t, "pass", []byte("first"))
			if out, err := cryptsetup(t, append([]string{"luksFormat", "--type", "luks2", "-q", "--cipher", AESXTS, path, pass}, args...)...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f := open(t, path)
			key := opens(t, f, "first", -1)
			c, err := Open(f)
			if err != nil || c.Warning() != nil {
				t.Fatal(err, c.Warning())
			}
			if _, err := c.Unlock(t.Context(), []byte("second"), -1); err == nil {
				t.Error("any passphrase opens")
			}
			// We change its header, and it reads that.
			if _, err := c.AddKey(t.Context(), key, []byte("second"), SlotOptions{Cipher: AESXTS, KDF: KDF{Iterations: 1000}}); err != nil {
				t.Fatal(err)
			}
			if out, err := cryptsetup(t, "open", "--test-passphrase", "--key-file", file(t, "second", []byte("second")), path); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if key.Wipe(); !bytes.Equal(key.bytes, make([]byte, len(key.bytes))) {
				t.Error("the key is still there")
			}
		})
	}
}

// pattern is of n bytes, no two sectors alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 16 {
		copy(b[i:], fmt.Sprintf("%015d.", i))
	}
	return b
}

// TestVolumeOfCryptsetup has cryptsetup encrypt a whole image, and decrypt what is
// written here.
func TestVolumeOfCryptsetup(t *testing.T) {
	testkit.NeedRoot(t) // cryptsetup's locks are in /run
	for _, sector := range []string{"512", "4096"} {
		t.Run(sector, func(t *testing.T) {
			const size, spare = 2 << 20, 32 << 20
			plain := pattern(size)
			path, pass := file(t, "c", append(bytes.Clone(plain), make([]byte, spare)...)), file(t, "pass", []byte("first"))
			if out, err := cryptsetup(t, "reencrypt", "--encrypt", "--force-offline-reencrypt", "--reduce-device-size", "32M", "--type", "luks2", "-q", "--cipher", AESXTS,
				"--sector-size", sector, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", pass, path); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f := open(t, path)
			c, err := Open(f)
			if err != nil {
				t.Fatal(err)
			}
			v, err := c.Volume(opens(t, f, "first", -1))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, size)
			if _, err := v.ReadAt(got, 0); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("the volume is not what cryptsetup encrypted: %v", err)
			}
			// The other way.
			if _, err := v.WriteAt([]byte("written here"), 12345); err != nil {
				t.Fatal(err)
			}
			copy(plain[12345:], "written here")
			header := filepath.Join(t.TempDir(), "header")
			out, err := cryptsetup(t, "reencrypt", "--decrypt", "--force-offline-reencrypt", "-q", "--header", header, "--key-file", pass, path)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			back, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(back[:size], plain) {
				t.Errorf("cryptsetup does not read what was written here: %v", err)
			}
		})
	}
}
