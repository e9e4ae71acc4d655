package core

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/anole-os/anole/internal/benchfmt"
)

// Bench is what a room's verb bench does with results.
type Bench struct {
	File  string // that they are merged into; none when ""
	Brief bool   // they mean nothing, and are not written
	all   []benchfmt.Result
}

// Save keeps results, and writes them.
func (b *Bench) Save(r []benchfmt.Result) error {
	b.all = append(b.all, r...)
	if b.File == "" || b.Brief {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(b.File), 0o755); err != nil {
		return err
	}
	return benchfmt.Write(b.File, r)
}

// Tell prints what was saved, after a bench that ended with err, and gives the verb's
// error: of a bench that refused to judge, with its exit code.
func (b *Bench) Tell(e *Env, err error) error {
	if e.JSON {
		return errors.Join(err, e.PrintJSON(b.all))
	}
	if len(b.all) > 0 {
		fmt.Fprint(e.Out, benchfmt.Table(b.all))
	}
	var busy interface {
		error
		NotJudged()
	}
	if errors.As(err, &busy) {
		return Exit(ExitNo, err)
	}
	return err
}
