package ima

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Names of the attributes.
const (
	Attr     = "security.ima"
	AttrUser = "user.ima"
	AttrEVM  = "security.evm"
)

// Place is where labels are.
type Place int

// Places. A kernel that has IMA and not SM3 lets nobody write a label with SM3 to
// security.ima (ima_inode_setxattr in security/integrity/ima/ima_appraise.c): EACCES.
// There, user.ima has it, where evmctl --xattr-user looks too; it takes the right to
// write to the file and no more.
const (
	Security Place = iota // security.ima
	User                  // user.ima
	Files                 // a file NAME.sig
)

// attr is the attribute's name.
func (p Place) attr() string {
	if p == User {
		return AttrUser
	}
	return Attr
}

// evmAttrs are the attributes that security.evm is of, in the order of
// security/integrity/evm/evm_main.c: those of SELinux, Smack and AppArmor, the label of
// the content, and capabilities.
var evmAttrs = []string{"security.selinux", "security.SMACK64", "security.apparmor", Attr, "security.capability"}

// maxAttr is XATTR_SIZE_MAX of Linux.
const maxAttr = 64 << 10

// getAttr reads an attribute: nil where there is none.
func getAttr(fd int, name string, most int) ([]byte, error) {
	b := make([]byte, min(most, 512)) // most are shorter
	n, err := unix.Fgetxattr(fd, name, b)
	if errors.Is(err, unix.ERANGE) && most > len(b) {
		b = make([]byte, most)
		n, err = unix.Fgetxattr(fd, name, b)
	}
	switch {
	case errors.Is(err, unix.ENODATA):
		return nil, nil
	case errors.Is(err, unix.ERANGE):
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", name, ErrMalformed, most)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, explain(err))
	}
	return b[:n:n], nil
}

func setAttr(fd int, name string, value []byte) error {
	if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
		return fmt.Errorf("write %s: %w", name, explain(err))
	}
	return nil
}

// dropAttr removes an attribute, and says whether there was one.
func dropAttr(fd int, name string) (bool, error) {
	switch err := unix.Fremovexattr(fd, name); {
	case errors.Is(err, unix.ENODATA):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("remove %s: %w", name, explain(err))
	}
	return true, nil
}

// explain adds what to do about what the file system says.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOTSUP):
		return fmt.Errorf("%w: this file system has no such attributes; labels can be kept in files (--sigfile)", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it takes CAP_SYS_ADMIN, and a file that is not immutable", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: it takes the right to write to the file; a kernel that has IMA and lacks the label's hash, such as SM3, refuses so too: then labels can be in user.ima (--user-attr) or in files (--sigfile)", err)
	}
	return err
}

// EVMDigest is what a portable signature in security.evm is over: the file's security
// attributes, and struct h_misc of security/integrity/evm/evm_crypto.c with owner, group
// and mode, the inode's number and generation being zero. The file must have security.ima.
func EVMDigest(fd int, a Algo) ([]byte, error) {
	if !a.Known() {
		return nil, fmt.Errorf("%w: %v", ErrAlgo, a)
	}
	text, err := evmText(fd)
	if err != nil {
		return nil, err
	}
	return a.sum(text), nil
}

// sum hashes what is in memory.
func (a Algo) sum(text []byte) []byte {
	h := a.New()
	h.Write(text)
	return h.Sum(nil)
}

// evmText is what EVMDigest hashes.
func evmText(fd int) (text []byte, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	for _, name := range evmAttrs {
		v, err := getAttr(fd, name, maxAttr)
		switch {
		case err != nil:
			return nil, err
		case v == nil && name == Attr:
			return nil, fmt.Errorf("%w: security.evm is over security.ima, which the file lacks", ErrUnlabelled)
		}
		text = append(text, v...)
	}
	var misc [24]byte
	order := binary.NativeEndian
	order.PutUint32(misc[12:], st.Uid)
	order.PutUint32(misc[16:], st.Gid)
	order.PutUint16(misc[20:], uint16(st.Mode))
	return append(text, misc[:]...), nil
}

// VerifyEVM checks security.evm of a file, which must be a portable signature.
func (k *Keyring) VerifyEVM(fd int) error {
	b, err := getAttr(fd, AttrEVM, MaxLabel)
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("%s: %w", AttrEVM, ErrUnlabelled)
	}
	l, err := Parse(b)
	if err == nil && l.Type != TypePortable {
		err = fmt.Errorf("%w: no portable signature", ErrAlgo)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", AttrEVM, err)
	}
	digest, err := EVMDigest(fd, l.Algo)
	if err != nil {
		return err
	}
	if err := k.Verify(l, digest); err != nil {
		return fmt.Errorf("%s: %w", AttrEVM, err)
	}
	return nil
}

// Read gives the label in a file's attribute: ErrUnlabelled where it has none.
func Read(fd int, p Place) (Label, error) {
	b, err := getAttr(fd, p.attr(), MaxLabel)
	if err != nil {
		return Label{}, err
	}
	if b == nil {
		return Label{}, ErrUnlabelled
	}
	return Parse(b)
}
