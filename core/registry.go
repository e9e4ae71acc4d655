package core

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"sync"
)

// Registry holds the modules that were built in.
type Registry struct {
	mu    sync.Mutex
	infos map[string]Info
}

// Default is the registry that modules/all fills.
var Default = &Registry{}

// Register adds a module to Default; it panics on a bad or double name, which
// only a programming mistake can cause.
func Register(i Info) {
	if err := Default.Add(i); err != nil {
		panic(err)
	}
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// Add adds a module.
func (r *Registry) Add(i Info) error {
	if !validName.MatchString(i.Name) || i.New == nil {
		return fmt.Errorf("register module %q: a lower-case name and New are needed", i.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.infos[i.Name]; ok {
		return fmt.Errorf("register module %q: the name is taken", i.Name)
	}
	for _, other := range r.infos {
		for name := range i.Programs {
			if other.Programs[name] != nil {
				return fmt.Errorf("register module %q: %q has a program %q already", i.Name, other.Name, name)
			}
		}
	}
	if r.infos == nil {
		r.infos = map[string]Info{}
	}
	r.infos[i.Name] = i
	return nil
}

// Entry finds the program that a command line, os.Args, asks for by its name ("sm3sum"),
// or the helper process ("anole", "qos", "exec-in", …); nil if it is an ordinary one.
func (r *Registry) Entry(line []string) func() error {
	if len(line) == 0 {
		return nil
	}
	name, args := path.Base(line[0]), line[1:]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.infos {
		if f := i.Programs[name]; f != nil {
			return func() error { return f(args) }
		}
	}
	if len(args) < 2 {
		return nil
	}
	f := r.infos[args[0]].Entries[args[1]]
	if f == nil {
		return nil
	}
	return func() error { return f(args[2:]) }
}

// Ordered gives the modules in start order: each after those in its Needs and
// After, by name where nothing else decides, whatever the order of Add. A
// missing need or a cycle is an error that names the modules.
func (r *Registry) Ordered() ([]Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.infos))
	for n := range r.infos {
		names = append(names, n)
	}
	slices.Sort(names)
	w := walk{infos: r.infos, mark: map[string]int{}}
	for _, n := range names {
		if err := w.visit(n); err != nil {
			return nil, err
		}
	}
	return w.out, nil
}

// walk is a depth-first topological sort.
type walk struct {
	infos map[string]Info
	mark  map[string]int // 1 open, 2 done
	out   []Info
}

func (w *walk) visit(name string) error {
	switch w.mark[name] {
	case 1:
		return fmt.Errorf("order modules: %q comes before itself through Needs or After", name)
	case 2:
		return nil
	}
	w.mark[name] = 1
	i := w.infos[name]
	for _, n := range i.Needs {
		if _, ok := w.infos[n]; !ok {
			return fmt.Errorf("order modules: %q needs %q, which is not built in", name, n)
		}
	}
	before := slices.Concat(i.Needs, i.After)
	slices.Sort(before)
	for _, n := range before {
		if _, ok := w.infos[n]; !ok {
			continue
		}
		if err := w.visit(n); err != nil {
			return err
		}
	}
	w.mark[name] = 2
	w.out = append(w.out, i)
	return nil
}
