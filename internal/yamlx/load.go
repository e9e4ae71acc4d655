package yamlx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxFile bounds one file in bytes: configurations are written by people.
const maxFile = 4 << 20

// Load reads the file at path and lays the files conf.d/*.yaml beside it over it, in the
// order of their names. A missing file at path is an error if required. Each file that was
// read is given to each, which may be nil, before it is parsed.
func Load(path string, required bool, each func(name string, src []byte)) (*Doc, error) {
	all, err := Parse(nil, path)
	if err != nil {
		return nil, err
	}
	more, err := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list configuration files: %w", err)
	}
	slices.Sort(more)
	for i, name := range append([]string{path}, more...) {
		src, err := readFile(name)
		if errors.Is(err, fs.ErrNotExist) && (i > 0 || !required) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if each != nil {
			each(name, src)
		}
		one, err := Parse(src, name)
		if err != nil {
			return nil, err
		}
		all = Merge(all, one)
	}
	return all, nil
}

func readFile(name string) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, maxFile)
	}
	return os.ReadFile(name)
}
