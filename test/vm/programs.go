package vm

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// libraries is where Debian's dynamic linker looks.
const libraries = "lib/x86_64-linux-gnu"

// system is a tree of unpacked packages whose programs a guest can run.
type system struct {
	files map[string]string // by base name
}

// openSystem looks at the shared objects of a tree.
func openSystem(root string) (*system, error) {
	s := &system{files: map[string]string{}}
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if _, known := s.files[e.Name()]; !known || e.Type().IsRegular() { // rather the file than a link of the same name
			s.files[e.Name()] = p
		}
		return nil
	})
	return s, err
}

// find gives the file of a base name: the one that a link, which may be meant
// for another root, ends at.
func (s *system) find(name string) (string, error) {
	for range 8 {
		p, ok := s.files[name]
		if !ok {
			return "", fmt.Errorf("no %s among the unpacked packages", name)
		}
		to, err := os.Readlink(p)
		if err != nil {
			return p, nil // no link
		}
		name = path.Base(to)
	}
	return "", fmt.Errorf("%s is a link without end", name)
}

// add puts programs into the archive, by their paths there, and what they are
// linked with.
func (s *system) add(w *archive, programs map[string]string) error {
	done := map[string]bool{}
	var load func(file string) error
	load = func(file string) error {
		f, err := elf.Open(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		defer f.Close()
		needs, err := f.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("read what %s needs: %w", file, err)
		}
		for _, p := range f.Progs {
			if p.Type != elf.PT_INTERP {
				continue
			}
			name := make([]byte, p.Filesz-1)
			if _, err := p.ReadAt(name, 0); err != nil {
				return fmt.Errorf("read the interpreter of %s: %w", file, err)
			}
			if err := s.put(w, string(name[1:]), done); err != nil {
				return err
			}
		}
		for _, n := range needs {
			if done[n] {
				continue
			}
			done[n] = true
			if err := s.put(w, path.Join(libraries, n), done); err != nil {
				return err
			}
			lib, err := s.find(n)
			if err != nil {
				return err
			}
			if err := load(lib); err != nil {
				return err
			}
		}
		return nil
	}
	for _, at := range slices.Sorted(maps.Keys(programs)) {
		w.parents(at)
		w.copy(at, programs[at])
		if err := load(programs[at]); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) put(w *archive, at string, done map[string]bool) error {
	if done[at] {
		return nil
	}
	done[at] = true
	file, err := s.find(path.Base(at))
	if err != nil {
		return err
	}
	w.parents(at)
	w.copy(at, file)
	return nil
}
