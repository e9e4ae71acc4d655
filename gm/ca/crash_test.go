package ca

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/x509"
)

// worker names the folder in which a process works until it is killed.
const worker = "ANOLE_CA_TEST_WORKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(worker); dir != "" {
		work(dir)
	}
	os.Exit(m.Run())
}

// work issues, revokes and lists, and says what it was told.
func work(dir string) {
	for n := 0; ; n++ {
		c, err := Open(dir, nil)
		if err != nil {
			panic(err)
		}
		name, err := x509.ParseName("CN=" + strings.Repeat("x", 1+rand.IntN(200)))
		if err != nil {
			panic(err)
		}
		out, err := c.Issue(Request{Profile: "dual", Subject: name, Keep: true})
		if err != nil {
			panic(err)
		}
		serial := x509.Serial(out.Certificate.SerialNumber)
		fmt.Println("issued", serial)
		fmt.Println("issued", x509.Serial(out.Encryption.SerialNumber))
		if n%3 == 0 {
			if err := c.Revoke(4, serial); err != nil {
				panic(err)
			}
			fmt.Println("revoked", serial)
		}
		if n%5 == 0 {
			der, err := c.CRL(Intermediate, 1)
			if err != nil {
				panic(err)
			}
			l, err := x509.ParseCRL(der)
			if err != nil {
				panic(err)
			}
			fmt.Println("listed", l.Number)
		}
	}
}

// TestKill kills processes that work side by side, at any moment, and looks whether
// everything that anyone was told is there, once.
func TestKill(t *testing.T) {
	c := newCA(t, options(t, true))
	told := map[string]bool{}
	var mu sync.Mutex
	for range 25 {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for _, line := range killed(t, c.dir) {
					mu.Lock()
					if told[line] {
						t.Errorf("%s: told twice", line)
					}
					told[line] = true
					mu.Unlock()
				}
			})
		}
		all.Wait()
	}
	issue(t, c, subject(t, "CN=last")) // cuts what is torn
	entries, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		if there["issued "+e.Serial] {
			t.Errorf("%s is there twice", e.Serial)
		}
		there["issued "+e.Serial] = true
		if e.Revoked != nil {
			there["revoked "+e.Serial] = true
		}
	}
	n := 0
	for line := range told {
		if kind, _, _ := strings.Cut(line, " "); kind == "listed" {
			continue
		}
		n++
		if !there[line] {
			t.Errorf("%s: is not in the index", line)
		}
	}
	if n < 50 {
		t.Errorf("only %d were told: the test tests nothing", n)
	}
	left, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left", e.Name())
		}
	}
	b, err := os.ReadFile(filepath.Join(c.dir, "crl", "intermediate.crl"))
	if err == nil {
		_, err = x509.ReadCRL(b)
	}
	if err != nil {
		t.Errorf("the list is not whole: %v", err)
	}
}

// killed runs a worker for a while and gives what it said.
func killed(t *testing.T, dir string) []string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), worker+"="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return nil
	}
	kill := func() { _ = cmd.Process.Kill() }
	var lines []string
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if len(lines) == 0 { // it has begun, however slow the machine is
			time.AfterFunc(time.Duration(rand.IntN(50_000))*time.Microsecond, kill)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	_ = cmd.Wait()
	if errs.Len() > 0 {
		t.Errorf("a worker failed: %s", errs.String())
	}
	return lines
}

// TestTorn cuts an index anywhere.
func TestTorn(t *testing.T) {
	c := newCA(t, options(t, false))
	heads := [][]byte{state(t, c, "head")}
	for range 3 {
		issue(t, c, subject(t, "CN=a"))
		heads = append(heads, state(t, c, "head"))
	}
	path := filepath.Join(c.dir, "index")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		x := newIndex()
		if err := x.take(whole[:cut]); err != nil || len(x.entries) != bytes.Count(whole[:cut], []byte("\n")) {
			t.Fatalf("cut at %d: %d entries, %v", cut, len(x.entries), err)
		}
	}
	for _, cut := range []int{len(whole) - 1, len(whole) - 400, 10} {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		// The head is of the lines that are whole: it is written after them.
		if err := os.WriteFile(filepath.Join(c.dir, "head"), heads[bytes.Count(whole[:cut], []byte("\n"))], 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := c.List()
		if err != nil {
			t.Fatal(err)
		}
		issue(t, c, subject(t, "CN=b"))
		if after, err := c.List(); err != nil || len(after) != len(before)+1 {
			t.Errorf("cut at %d: %d entries after %d, %v", cut, len(after), len(before), err)
		}
	}
	// What was changed, or is missing in the middle, is not borne.
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for name, b := range map[string][]byte{
		"a byte": bytes.Replace(whole, []byte(`"profile":"server"`), []byte(`"profile":"client"`), 1),
		"a line": append(bytes.Clone(lines[0]), lines[2]...), "the first": bytes.Join(lines[1:], nil), "twice": append(bytes.Clone(whole), lines[2]...),
		"none": []byte("\n"), "text": []byte("hello world, hello world\n"),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Issue(subject(t, "CN=c")); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: the damaged index was written to", name)
		}
	}
}

// state is the content of a file of a CA.
func state(t *testing.T, c *CA, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFull writes an index on a disk that is full.
func TestFull(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := newIndex()
	if err := x.add(f, &record{Issue: []*Entry{{Serial: "01"}}}); err == nil || len(x.entries) != 0 || x.size != 0 {
		t.Errorf("%v, %d entries", err, len(x.entries))
	}
}

func FuzzIndex(f *testing.F) {
	x := newIndex()
	line, err := x.line(&record{Issue: []*Entry{{Serial: "01", Issuer: Root}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"issue":[{"serial":"01"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = newIndex().take(b)
		// Behind the sum as well.
		x := newIndex()
		if err := x.take([]byte(chain(x.sum, b) + " " + string(b) + "\n")); err == nil && !bytes.ContainsRune(b, '\n') && x.size == 0 && len(b) > 1 {
			t.Error("nothing was read")
		}
		_, _ = parseProfiles(b)
	})
}
