package modsign

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Load verifies a module as Verify does and has the kernel load it; parameters are as in
// "gb=2 bs=512". What was verified is what is loaded, whoever writes to the file
// meanwhile: the kernel is given the bytes in memory that nobody else has and that are
// sealed against change.
func Load(file []byte, o VerifyOptions, parameters string) error {
	if _, err := Verify(file, o); err != nil {
		return err
	}
	plain, err := Decompress(file)
	if err != nil {
		return err
	}
	f, err := sealed(plain)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	switch err := unix.FinitModule(int(f.Fd()), parameters, 0); {
	case errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENOKEY):
		return fmt.Errorf("load module: the kernel trusts other keys: enrol the certificate in its keyring: %w", err)
	case err != nil:
		return fmt.Errorf("load module: %w", err)
	}
	return nil
}

// sealed is a file in memory, open for reading, that cannot be written to any more.
func sealed(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("module", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "module")
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, err
	}
	// The kernel takes no file that is open for writing: ETXTBSY.
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}
