package ima

import (
	"bufio"
	"bytes"
	"crypto"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/sm2"
)

func fixedKey(scalar []byte) crypto.Signer {
	k, err := sm2.NewPrivateKey(scalar)
	if err != nil {
		panic(err)
	}
	return k
}

// TestKilled kills one that signs: every file has a whole label, of the signature or of
// the digest.
func TestKilled(t *testing.T) {
	dir := labelled(t)
	_, ring := newSigner(t, fixedKey(killedKey()), SM3)
	var files int
	for _, place := range []Place{Security, Files} {
		at := killedTree(dir, place)
		files = len(tree(t, at))
		run(t, LabelWork{SM3}, Options{Recursive: true, Place: place}, at)
	}
	types := map[Type]int{} // of the labels that were found
	for round := range 8 {
		signKilled(t, dir, time.Duration(1+17*round)*time.Millisecond)
		for _, place := range []Place{Security, Files} {
			o := Options{Recursive: true, Place: place}
			sum, all := run(t, VerifyWork{Keys: ring, Digests: true}, o, killedTree(dir, place))
			for _, r := range all {
				types[r.Label.Type]++
			}
			if sum.States[Verified] == int64(files) {
				continue
			}
			t.Errorf("round %d, place %d: %+v", round, place, sum)
			for p, r := range all {
				if r.Err != nil {
					t.Logf("%s: %v", p, r.Err)
				}
			}
		}
	}
	if types[TypeSignature] == 0 {
		t.Errorf("labels %v: no signature: the test tests nothing", types)
	}
}

// signKilled has a child sign, and kills it a while after it began to.
func signKilled(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killedEnv+"="+dir)
	var errs bytes.Buffer
	child.Stderr = &errs
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err == nil { // however slow the machine is
		time.Sleep(after)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if errs.Len() > 0 || child.ProcessState.Exited() {
		t.Fatalf("the child failed: %v: %s", child.ProcessState, errs.String())
	}
}
