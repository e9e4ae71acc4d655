// Command draw makes the tables and charts of the READMEs from the committed
// bench results: for each test/bench/results/<room>.json, the table between
// the markers bench:<room> in README.md and <room>/README.md, and the chart
// docs/img/<room>-bench.svg. It is run at the root of the repository.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/anole-os/anole/internal/benchfmt"
)

func main() {
	if err := draw("."); err != nil {
		fmt.Fprintf(os.Stderr, "draw: %v\n", err)
		os.Exit(1)
	}
}

func draw(root string) error {
	files, err := filepath.Glob(filepath.Join(root, "test/bench/results/*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := drawRoom(root, strings.TrimSuffix(filepath.Base(f), ".json"), f); err != nil {
			return err
		}
	}
	return nil
}

func drawRoom(root, room, file string) error {
	results, err := benchfmt.Read(file)
	if err != nil {
		return err
	}
	drawn := 0
	for _, readme := range []string{"README.md", room + "/README.md"} {
		err := benchfmt.Draw(filepath.Join(root, readme), room, results)
		if errors.Is(err, benchfmt.ErrNoMarker) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		drawn++
	}
	if drawn == 0 {
		return fmt.Errorf("no README has the markers <!-- bench:%s --> and <!-- /bench:%s -->", room, room)
	}
	return benchfmt.WriteSVG(filepath.Join(root, "docs/img", room+"-bench.svg"), room+": ours to peer", results)
}
