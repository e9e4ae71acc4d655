package ima

import (
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
	for round := range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killedEnv+"="+dir)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(60+17*round) * time.Millisecond)
		_ = child.Process.Kill()
		_ = child.Wait()
		for _, place := range []Place{Security, Files} {
			o := Options{Recursive: true, Place: place}
			sum, all := run(t, VerifyWork{Keys: ring, Digests: true}, o, killedTree(dir, place))
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
}
