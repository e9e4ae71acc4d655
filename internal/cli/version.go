package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X …/internal/cli.version=v1.2.3.
var version string

// Build says where a binary comes from.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// BuildInfo reads it from the binary.
func BuildInfo() Build {
	b := Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Version is the version in one word, "devel" where there is none.
func Version() string {
	if v := BuildInfo().Version; v != "" && v != "(devel)" {
		return v
	}
	return "devel"
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := BuildInfo()
			b.Version = Version()
			if a.env.JSON {
				return a.env.PrintJSON(b)
			}
			line := "anole " + b.Version
			if b.Revision != "" {
				line += " " + b.Revision[:min(12, len(b.Revision))]
			}
			if b.Modified {
				line += " (modified)"
			}
			_, err := fmt.Fprintf(a.env.Out, "%s %s %s\n", line, b.Go, b.Platform)
			return err
		},
	}
}
