package sum

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/internal/testkit"
)

// asProgram makes the test binary the program of this name.
const asProgram = "ANOLE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(asProgram); name != "" {
		os.Exit(Main(context.Background(), name, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// ran is what a program did.
type ran struct {
	out, err string
	code     int
}

// program runs in a folder: GNU's, or, without a path, ours within the test.
type program struct {
	path string
	args []string // before all others
	dir  string
}

func (p *program) run(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	if p.path == "" {
		t.Chdir(p.dir)
		code := Main(t.Context(), p.args[0], args, input(t, stdin), &out, &errs)
		return ran{out.String(), errs.String(), code}
	}
	c := exec.CommandContext(t.Context(), p.path, append(append([]string{}, p.args...), args...)...)
	c.Dir, c.Stdin, c.Stdout, c.Stderr = p.dir, strings.NewReader(stdin), &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// input is a pipe that gives a text.
func input(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	go func() {
		_, _ = io.WriteString(w, text)
		_ = w.Close()
	}()
	return r
}

// both are ours and GNU's, which calls itself cksum.
func both(t *testing.T, dir string) (ours, gnu *program) {
	t.Helper()
	path := testkit.NeedPeer(t, "cksum-9.7")
	return &program{"", []string{"cksum"}, dir}, &program{path, []string{"-a", "sm3", "--untagged"}, dir}
}

// same runs both with the same arguments, and fails where they do not do the same.
func same(t *testing.T, ours, gnu *program, stdin string, args ...string) ran {
	t.Helper()
	want, got := gnu.run(t, stdin, args...), ours.run(t, stdin, args...)
	differ := func(what, got, want string) {
		g, w := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Errorf("%.200q: %s %d: %q, GNU's %q", args, what, i, g[i], w[i])
				return
			}
		}
		if len(g) != len(w) {
			t.Errorf("%.200q: %d lines of %s, GNU has %d; the last are %q and %q", args, len(g), what, len(w), g[max(0, len(g)-3):], w[max(0, len(w)-3):])
		}
	}
	differ("output", got.out, want.out)
	differ("message", got.err, want.err)
	if got.code != want.code {
		t.Errorf("%.200q: exit %d, GNU's %d", args, got.code, want.code)
	}
	return got
}

var oddNames = []string{
	"plain", "with space", " leading", "trailing ", "-dash", "--tag", "*star", "new\nline", "\nfirst", "back\\slash", "end\\", "cr\rhere", "\r", "tab\there", "é", "中文",
	"\xff\xfe", "a\x80b", "it's", "quo\"te", "it's \"both\"", "$(x)", "a:b", "#a", "~a", "{", "a{b}", "]x", "a=b", "\x01", "\x7f", "a'\nb", "\n'", "'\n'", "a) = b", "SM3 (x) = y", "(", ")",
	"\u200b", "\u00a0", "\\n", "a\\\nb\r", "!x", "a^b", "\x1b[31m",
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	for _, locale := range []string{"C.UTF-8", "C"} {
		t.Run(locale, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("LC_ALL", locale)
			ours, gnu := both(t, dir)
			for i, n := range oddNames {
				write(t, filepath.Join(dir, n), bytes.Repeat([]byte{byte(i)}, 100*i))
			}
			args := append([]string{"--"}, oddNames...)
			for _, style := range [][]string{{}, {"-b"}, {"-t"}, {"--tag"}, {"-z"}, {"-bz"}, {"--tag", "-z"}, {"--tag", "-b"}} {
				got := same(t, ours, gnu, "", append(append([]string{}, style...), args...)...)
				if strings.Contains(strings.Join(style, ""), "z") {
					continue
				}
				// What the one writes the other checks.
				if got := same(t, ours, gnu, got.out, "-c"); got.code != 0 || strings.Count(got.out, "OK\n") != len(oddNames) {
					t.Errorf("%q: %+v", style, got)
				}
				same(t, ours, gnu, strings.ReplaceAll(got.out, "\n", "\r\n"), "-c", "--quiet")
				// All names are missing elsewhere.
				there := t.TempDir()
				o, g := *ours, *gnu
				o.dir, g.dir = there, there
				same(t, &o, &g, got.out, "-c")
				same(t, &o, &g, got.out, "-c", "--ignore-missing")
				same(t, &o, &g, "", args...)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	ours, gnu := both(t, dir)
	write(t, filepath.Join(dir, "x"), []byte("x"))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o700), os.Symlink("loop", filepath.Join(dir, "loop")), syscall.Mknod(filepath.Join(dir, "socket"), syscall.S_IFSOCK|0o600, 0)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 300)
	names := []string{"x", "missing", "d", "loop", "socket", "x/y", long, "", "/proc/self/mem", "x", "/dev/null", "-", "x", "-"}
	same(t, ours, gnu, "from standard input", names...)
	same(t, ours, gnu, "", "d")
	same(t, ours, gnu, "in")
	same(t, ours, gnu, "in", "--tag")
	same(t, ours, gnu, "", "-c", "missing")
	same(t, ours, gnu, "", "-c", "d")
	same(t, ours, gnu, "", "-c", "")
	same(t, ours, gnu, "", "-c", "x", "d", "missing")
	same(t, ours, gnu, "", "-c")
	var list []byte
	for _, n := range names {
		list = Style{}.Append(list, n, sm3.Sum([]byte("x")))
	}
	write(t, filepath.Join(dir, "list"), list)
	for _, more := range [][]string{{}, {"--quiet"}, {"--status"}, {"-w"}, {"--strict"}, {"--ignore-missing"}, {"--ignore-missing", "--status"}} {
		same(t, ours, gnu, "x", append([]string{"-c", "list"}, more...)...)
		same(t, ours, gnu, string(list), append([]string{"-c", "-", "list", "list"}, more...)...)
	}
}

// What takes a mode away from all but root.
func TestDenied(t *testing.T) {
	dir, err := os.MkdirTemp("", "sum")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "secret"), nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "program"), program)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "program"), 0o755), os.Chmod(filepath.Join(dir, "secret"), 0)); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), filepath.Join(dir, "program"), "secret")
	c.Env, c.Dir = append(os.Environ(), asProgram+"=sm3sum"), dir
	if os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := c.CombinedOutput()
	if string(out) != "sm3sum: secret: Permission denied\n" || c.ProcessState.ExitCode() != 1 {
		t.Errorf("%q, %v", out, err)
	}
}

// Every length up to some blocks, and some around the size of a piece.
func TestLengths(t *testing.T) {
	dir := t.TempDir()
	ours, gnu := both(t, dir)
	random := rand.NewChaCha8([32]byte{1})
	var names []string
	lengths := []int{piece - 1, piece, piece + 1, piece + spare, piece + spare + 1, 2 * piece, 3*piece + 77, 1 << 20, 5<<20 + 3, 9 << 20}
	for i := range 2050 {
		lengths = append(lengths, i)
	}
	for _, n := range lengths {
		b := make([]byte, min(n, 6<<20))
		_, _ = random.Read(b)
		name := fmt.Sprint(n)
		write(t, filepath.Join(dir, name), b)
		if err := os.Truncate(filepath.Join(dir, name), int64(n)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	list := same(t, ours, gnu, "", names...)
	same(t, ours, gnu, list.out, "-c")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asProgram, "cksum")
	for _, level := range []string{"avx512", "avx2", "generic"} {
		t.Setenv("GM_CPU", level)
		if got := (&program{self, nil, dir}).run(t, "", names...); got != list {
			t.Errorf("GM_CPU=%s gives another list", level)
		}
	}
}

// Lists of lines that are nearly good.
func TestListsOfOddLines(t *testing.T) {
	dir := t.TempDir()
	ours, gnu := both(t, dir)
	write(t, filepath.Join(dir, "x"), []byte("x"))
	write(t, filepath.Join(dir, " x"), []byte("x"))
	write(t, filepath.Join(dir, "*x"), []byte("y"))
	random := rand.New(rand.NewPCG(3, 4))
	good, other := sm3.Sum([]byte("x")), sm3.Sum([]byte("y"))
	hexed := hex.EncodeToString(good[:])
	seeds := []string{
		hexed + "  x", hexed + " *x", hexed + " x", hexed + "\tx", "SM3 (x) = " + hexed, "SM3(x)= " + hexed, "\\" + hexed + "  x\\\\", "\\SM3 (a\\nb) = " + hexed,
		hex.EncodeToString(other[:]) + "  x", base64.StdEncoding.EncodeToString(good[:]) + "  x", "SM3 (x) = " + base64.StdEncoding.EncodeToString(good[:]),
		strings.ToUpper(hexed) + "  x", hexed[:63] + "  x", hexed + "0  x", "# comment", " # no comment", "", " ", "\r", hexed, hexed + " ", hexed + "  ", "SHA256 (x) = " + hexed,
		"sm3 (x) = " + hexed, hexed + "  missing", hexed + "  -", hexed + "  x\x00y", "\xef\xbb\xbf" + hexed + "  x",
		"BLAKE2b (x) = " + hexed, "SM3x (x) = " + hexed, "SM3 () = " + hexed, "SM3 (x) " + hexed, "SM3", "SM3 ", "SM3 (", "\\", "\\SM3 (x\\) = " + hexed, "MD5 (x) = " + hexed,
		"CRC (x) = " + hexed, "SM3  (x) = " + hexed, "SM3 \t(x) = " + hexed, "SM3\t (x) = " + hexed, "SM3xx(x) = " + hexed,
		strings.Repeat("0", 64) + "  x", oddBits(good) + "  x", "SM3 (x) = " + oddBits(good), "SM3 (x) = " + hexed + " ", "SM3 (x) = " + hexed + "=", "SM3 (x) = " + hexed[:10], "SM3 (x)x = " + hexed, "SM3 (x) == " + hexed,
	}
	ends := []string{"\n", "\n", "\n", "\r\n", "\r\r\n", " \n"}
	for range 150 {
		var list strings.Builder
		for range 1 + random.IntN(40) {
			line := []byte(seeds[random.IntN(len(seeds))])
			for random.IntN(3) == 0 && len(line) > 0 {
				at := random.IntN(len(line))
				const odd = " \t*\\()=#\x00\r\nxnr0aA/+"
				switch c := odd[random.IntN(len(odd))]; random.IntN(3) {
				case 0:
					line[at] = c
				case 1:
					line = append(line[:at], append([]byte{c}, line[at:]...)...)
				default:
					line = append(line[:at], line[at+1:]...)
				}
			}
			list.Write(line)
			list.WriteString(ends[random.IntN(len(ends))])
		}
		text := list.String()
		if random.IntN(2) == 0 {
			text = strings.TrimSuffix(text, "\n")
		}
		write(t, filepath.Join(dir, "list"), []byte(text))
		options := [][]string{{}, {"-w"}, {"--strict"}, {"--quiet", "--strict"}, {"--status"}, {"-w", "--ignore-missing"}, {"-w", "--status"}, {"--status", "-w"}}
		args := append([]string{"-c", "list"}, options[random.IntN(len(options))]...)
		same(t, ours, gnu, "x", args...)
		if t.Failed() {

			t.Fatalf("with %q", text)
		}
	}
}

// oddBits is a hash in base64 that ends in other bits than its.
func oddBits(sum [sm3.Size]byte) string {
	b := []byte(base64.StdEncoding.EncodeToString(sum[:]))
	b[len(b)-2]++
	return string(b)
}

// A length in a tag is one in bits, and there is one only. Each has a run of its own, as
// GNU expects the hashes of a later line to be of a length that it refused before.
func TestSizedTags(t *testing.T) {
	dir := t.TempDir()
	ours, gnu := both(t, dir)
	write(t, filepath.Join(dir, "x"), []byte("x"))
	sum := sm3.Sum([]byte("x"))
	for _, size := range []string{"-256 ", "-256", "-256  ", "-256\t", "-", "-0 ", "-8 ", "-512 ", "-abc", "-256x", "--256", "-+256", "- 256", "-0256", "-0400", "-0x100", "-0x256", "-256k", "-2560", " -256"} {
		same(t, ours, gnu, fmt.Sprintf("SM3%s(x) = %x\n", size, sum), "-c", "-w")
	}
}
