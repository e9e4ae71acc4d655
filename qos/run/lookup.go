package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lookup finds the program of a command as a shell does: a name with a slash
// is a path, any other is looked for in the PATH of env. Relative paths count
// from dir. The error is an *ExecError.
func lookup(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if err := executable(from(dir, name)); err != nil {
			return "", &ExecError{Path: name, Err: err}
		}
		return name, nil
	}
	var found error = syscall.ENOENT
	for _, p := range filepath.SplitList(variable(env, "PATH")) {
		if p == "" {
			p = "."
		}
		path := filepath.Join(p, name)
		if !filepath.IsAbs(path) {
			path = "./" + path
		}
		switch err := executable(from(dir, path)); err {
		case nil:
			return path, nil
		case syscall.ENOENT, syscall.ENOTDIR:
		default:
			found = err // there, but not to be executed: what execvp(3) reports
		}
	}
	return "", &ExecError{Path: name, Err: found}
}

func from(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// executable gives the error that execve(2) would.
func executable(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			return pe.Err
		}
		return err
	}
	if st.IsDir() {
		return syscall.EISDIR
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return syscall.EACCES
	}
	return nil
}

// variable gives the last setting of an environment variable.
func variable(env []string, key string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], key+"="); ok {
			return v
		}
	}
	return ""
}
