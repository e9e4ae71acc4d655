package sm2

import (
	"bytes"
	"encoding/hex"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

// botanDriver builds testdata/botan.c against the library of the command, and gives the
// loader and what it takes to run that.
func botanDriver(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(testkit.NeedPeer(t, "botan-3"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^exec '([^']+)' --library-path '([^']+)' '([^']+)/usr/bin/botan'`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("the command is started otherwise: %s", text)
	}
	libraries, _ := filepath.Glob(string(m[3]) + "/usr/lib/*/libbotan-3.so.*")
	if len(libraries) == 0 {
		t.Fatalf("no library under %s", m[3])
	}
	driver := filepath.Join(t.TempDir(), "botan")
	out, err := exec.Command(testkit.NeedTool(t, "gcc"), "-o", driver, "testdata/botan.c", libraries[0], "-Wl,--allow-shlib-undefined").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return []string{string(m[1]), "--library-path", string(m[2]), driver}
}

// Botan decrypts what is encrypted here, and the other way round, under random keys.
func TestEncryptBotan(t *testing.T) {
	driver := botanDriver(t)
	run := func(in []byte, args ...string) ([]byte, error) {
		cmd := exec.Command(driver[0], append(driver[1:len(driver):len(driver)], args...)...)
		cmd.Stdin = bytes.NewReader(in)
		return cmd.Output()
	}
	for i := range 40 {
		key := newKey(t)
		scalar := hex.EncodeToString(key.D.FillBytes(make([]byte, 32)))
		msg := some(1 + mrand.IntN(2000))
		if i < 4 {
			msg = some([]int{1, 2, 32, 2000}[i])
		}
		sealed, err := Encrypt(nil, &key.PublicKey, msg, ASN1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := run(sealed, "decrypt", scalar); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("%d bytes: botan: %v", len(msg), err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := run(sealed, "decrypt", scalar); err == nil {
			t.Fatal("botan decrypts what was changed")
		}
		if sealed, err = run(msg, "encrypt", scalar); err != nil {
			t.Fatal(err)
		}
		got, err := Decrypt(key, sealed, ASN1)
		if err == ErrDecrypt && strings.HasSuffix(string(sealed), string(msg)) {
			continue // in the clear, which is refused
		}
		if err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("%d bytes of botan: %v", len(msg), err)
		}
	}
}
