package module

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func gmCommand(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

func TestLUKSVerbs(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	image := bytes.Repeat([]byte("0123456789abcdef!"), 300_000)
	for name, b := range map[string][]byte{"image": image, "first": []byte("first"), "second": []byte("second"), "wrong": []byte("wrong"), "empty": nil, "zeros": make([]byte, 1<<20)} {
		if err := os.WriteFile(at(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		args string
		code int
		want string
	}{
		{"format C --key-file FIRST", 2, "no such file"},
		{"format C --size 64KiB --iterations 1000 --key-file FIRST", 0, "sm4-xts-plain64"},
		{"format C --size 64KiB --iterations 1000 --key-file FIRST", 2, "--force"},
		{"format C --iterations 1000 --key-file FIRST", 2, "--force"},
		{"format C --size much --key-file FIRST", 2, "number of bytes"},
		{"format D --size 1MiB --cipher rc4 --key-file FIRST", 6, "rc4"},
		{"format D --size 1MiB", 2, "--key-file"},
		{"format D --size 1MiB --key-file EMPTY", 2, "0 bytes"},
		{"format D --size 1MiB --iterations 5 --key-file FIRST", 2, "5 iterations"},
		{"add-key C --key-file FIRST --new-key-file SECOND --iterations 999", 2, "1000 is the least"},
		{"add-key C --key-file FIRST --new-key-file SECOND --pbkdf argon2id --memory 31KiB", 2, "31 KiB"},
		{"add-key C --key-file FIRST --new-key-file SECOND --pbkdf argon2id --passes 3 --memory 1MiB", 2, "3 passes"},
		{"dump C", 0, "pbkdf2 with sm3, 1000 iterations"},
		{"dump ZEROS", 1, "no header"},
		{"import C IMAGE --key-file WRONG", 4, "no key slot opens"},
		{"import C IMAGE --key-file FIRST", 0, "5100000 bytes"},
		{"add-key C --key-file FIRST --new-key-file SECOND --pbkdf argon2id --memory 1MiB --passes 4", 0, "key slot 1 added"},
		{"remove-key C --slot 5", 1, "no key slot 5"},
		{"remove-key C --slot 0", 0, "removed"},
		{"remove-key C --slot 1", 1, "last"},
		{"export C OUT --key-file FIRST", 4, "no key slot opens"},
		{"export C OUT --key-file SECOND", 0, "bytes"},
		{"dump C", 0, "argon2id with 4 passes, 1024 KiB"},
	}
	names := strings.NewReplacer("FIRST", at("first"), "SECOND", at("second"), "WRONG", at("wrong"), "EMPTY", at("empty"), "ZEROS", at("zeros"), "IMAGE", at("image"), "OUT", at("out"))
	for _, s := range steps {
		var args []string
		for _, f := range strings.Fields(s.args) {
			switch f {
			case "C", "D":
				f = at(f)
			}
			args = append(args, names.Replace(f))
		}
		out, messages, code := gmRun("", false, append([]string{"luks"}, args...)...)
		if all := out + messages; code != s.code || !strings.Contains(all, s.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", s.args, code, s.code, s.want, all)
		}
	}
	if _, err := os.Stat(at("D")); err == nil {
		t.Error("a container that could not be made is there")
	}
	got, err := os.ReadFile(at("out"))
	if err != nil || !bytes.Equal(got[:len(image)], image) || len(got)-len(image) >= 4096 || len(bytes.Trim(got[len(image):], "\x00")) > 0 {
		t.Errorf("%d bytes come out of %d (%v)", len(got), len(image), err)
	}
	if st, err := os.Stat(at("out")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	out, _, code := gmRun("second", false, "luks", "export", at("C"), "-", "--key-file", "-")
	if code != 0 || out != string(got) {
		t.Errorf("to standard output: exit code %d, %d bytes", code, len(out))
	}
	out, _, code = gmRun("", true, "luks", "dump", at("C"))
	var i struct{ Keyslots map[string]any }
	if err := json.Unmarshal([]byte(out), &i); err != nil || code != 0 || len(i.Keyslots) != 1 {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
}
