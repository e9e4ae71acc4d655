package ima

import (
	"bytes"
	"errors"
	"fmt"
)

// State is what became of a file.
type State string

// States of files. Those that a Work has no good end with are errors instead.
const (
	Signed   State = "signed"
	Labelled State = "labelled" // with a digest
	Kept     State = "kept"     // it had the label already
	Verified State = "verified"
	Cleared  State = "cleared"
	Bare     State = "bare" // there was nothing to clear
	Failed   State = "failed"
)

// Work is what Run does with each file: SignWork, LabelWork, VerifyWork, ClearWork.
type Work interface {
	// begin looks at an open file and says with what it must be hashed, 0: not at all.
	begin(f *file) (Algo, error)
	// end goes on with the digest.
	end(f *file, digest []byte) (State, error)
}

// SignWork signs files. A file that has a signature of the same key that is right is
// left as it is: RSA would give the same, and SM2 one no better. One whose content
// Signer.Check refuses fails.
type SignWork struct {
	Signer *Signer
	EVM    bool // security.evm too
}

func (w SignWork) begin(*file) (Algo, error) { return w.Signer.algo, nil }

func (w SignWork) end(f *file, digest []byte) (State, error) {
	if err := w.Signer.Check(f.start[:]); err != nil {
		return Failed, fmt.Errorf("sign: %w", err)
	}
	state := Kept
	if !f.has(func(l Label) bool { return w.Signer.made(TypeSignature, l, digest) }) {
		l, err := w.Signer.Sign(TypeSignature, digest)
		if err != nil {
			return Failed, err
		}
		if err := f.relabel(l, w.EVM); err != nil {
			return Failed, err
		}
		state = Signed
	}
	if !w.EVM {
		return state, nil
	}
	if f.place != Security {
		return Failed, errors.New("security.evm is over security.ima, and the label is elsewhere: sign without --sigfile and --user-attr")
	}
	return w.evm(f, state)
}

func (w SignWork) evm(f *file, state State) (State, error) {
	text, err := evmText(int(f.fd))
	if err == nil {
		err = w.Signer.Check(text)
	}
	if err != nil {
		return Failed, err
	}
	digest := w.Signer.algo.sum(text)
	if old, err := getAttr(int(f.fd), AttrEVM, MaxLabel); err == nil && old != nil {
		if l, err := Parse(old); err == nil && w.Signer.made(TypePortable, l, digest) {
			return state, nil
		}
	}
	l, err := w.Signer.Sign(TypePortable, digest)
	if err != nil {
		return Failed, err
	}
	if err := setAttr(int(f.fd), AttrEVM, l.Bytes()); err != nil {
		return Failed, err
	}
	return Signed, nil
}

// has says whether the file has a label that is as wanted.
func (f *file) has(wanted func(Label) bool) bool {
	b, err := f.load()
	if err != nil || b == nil {
		return false
	}
	l, err := Parse(b)
	return err == nil && wanted(l)
}

// relabel writes a label. A signature in security.evm, which is over the old one, stands
// in the way unless a new one comes.
func (f *file) relabel(l Label, evm bool) error {
	if f.place == Security && !evm {
		old, err := getAttr(int(f.fd), AttrEVM, MaxLabel)
		if err != nil {
			return err
		}
		if len(old) > 0 && Type(old[0]) != TypeHMAC {
			return errors.New("it has a signature in security.evm, which a new security.ima would break: sign both (--evm) or clear it first")
		}
	}
	return f.save(l.Bytes())
}

// LabelWork labels files with their digests.
type LabelWork struct{ Algo Algo }

func (w LabelWork) begin(*file) (Algo, error) { return w.Algo, hashAllowed(w.Algo) }

func (w LabelWork) end(f *file, digest []byte) (State, error) {
	l := DigestLabel(w.Algo, digest)
	if f.has(func(old Label) bool { return bytes.Equal(old.Bytes(), l.Bytes()) }) {
		return Kept, nil
	}
	if err := f.relabel(l, false); err != nil {
		return Failed, err
	}
	return Labelled, nil
}

// VerifyWork checks files' labels. With no keys, labels that are digests will do.
type VerifyWork struct {
	Keys    *Keyring
	Digests bool // labels that are digests will do
	EVM     bool // security.evm must be there and right
}

func (w VerifyWork) begin(f *file) (Algo, error) {
	b, err := f.load()
	if err != nil {
		return 0, err
	}
	if b == nil {
		return 0, ErrUnlabelled
	}
	if f.label, err = Parse(b); err != nil {
		return 0, err
	}
	switch {
	case f.label.Type == TypePortable:
		return 0, fmt.Errorf("%w: of security.evm in security.ima", ErrAlgo)
	case f.label.Type == TypeDigest && !w.Digests && w.Keys != nil && w.Keys.Len() > 0:
		return 0, ErrUnsigned
	}
	return f.label.Algo, hashAllowed(f.label.Algo) // before the work
}

func (w VerifyWork) end(f *file, digest []byte) (State, error) {
	if err := w.Keys.Verify(f.label, digest); err != nil {
		return Failed, err
	}
	if w.EVM {
		if err := w.Keys.VerifyEVM(int(f.fd)); err != nil {
			return Failed, err
		}
	}
	return Verified, nil
}

// ClearWork removes labels, of security.evm too.
type ClearWork struct{}

func (ClearWork) begin(*file) (Algo, error) { return 0, nil }

func (ClearWork) end(f *file, _ []byte) (State, error) {
	had, err := f.drop()
	switch {
	case err != nil:
		return Failed, err
	case had:
		return Cleared, nil
	}
	return Bare, nil
}

// HashWork hashes files and leaves them as they are: the digests are in the Results.
type HashWork struct{ Algo Algo }

func (w HashWork) begin(f *file) (Algo, error) { return LabelWork(w).begin(f) }

func (w HashWork) end(f *file, digest []byte) (State, error) {
	f.label = DigestLabel(w.Algo, bytes.Clone(digest))
	return Verified, nil
}
