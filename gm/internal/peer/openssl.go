// Package peer runs other people's programs in tests.
package peer

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

// OpenSSL is one release of it.
type OpenSSL struct {
	Release string // "3.0", "3.5", "4.0"
	path    string
}

// EachOpenSSL runs a test with the installed OpenSSL, 3.5 and 4.0.
func EachOpenSSL(t *testing.T, f func(t *testing.T, o OpenSSL)) {
	t.Run("OpenSSL 3.0", func(t *testing.T) { f(t, OpenSSL{"3.0", testkit.NeedTool(t, "openssl")}) })
	for _, r := range []string{"3.5", "4.0"} {
		t.Run("OpenSSL "+r, func(t *testing.T) { f(t, OpenSSL{r, testkit.NeedPeer(t, "openssl-"+r)}) })
	}
}

// Run gives a command's output, and fails the test where the command does.
func (o OpenSSL) Run(t testing.TB, args ...string) []byte {
	t.Helper()
	out, err := o.Try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Feed is Run with a standard input.
func (o OpenSSL) Feed(t testing.TB, in []byte, args ...string) []byte {
	t.Helper()
	out, err := o.try(in, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try gives a command's output.
func (o OpenSSL) Try(args ...string) ([]byte, error) { return o.try(nil, args...) }

func (o OpenSSL) try(in []byte, args ...string) ([]byte, error) {
	var errs bytes.Buffer
	c := exec.Command(o.path, args...)
	c.Stdin, c.Stderr = bytes.NewReader(in), &errs
	out, err := c.Output()
	if err != nil {
		return out, fmt.Errorf("openssl %s: %w: %s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return out, nil
}
