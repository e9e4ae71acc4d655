package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/yamlx"
)

// ConfigVersion is the form of the configuration file that this agent reads.
const ConfigVersion = 1

// AgentConfig is the agent: section.
type AgentConfig struct {
	Log     LogConfig     `yaml:"log" doc:"what the agent writes to standard error"`
	Console ConsoleConfig `yaml:"console" doc:"the console, a web page; read-only and without a password, so keep it on a loopback address"`
	API     APIConfig     `yaml:"api" doc:"the API socket"`
	Metrics MetricsConfig `yaml:"metrics" doc:"Prometheus metrics, served as /metrics on the socket and on the console's address"`
	History HistoryConfig `yaml:"history" doc:"the history of all metrics, kept in the state directory"`
	Disable []string      `yaml:"disable" doc:"modules that are not to run"`
}

// LogConfig says what is logged.
type LogConfig struct {
	Level  Level  `yaml:"level" doc:"debug, info, warn or error"`
	Format Format `yaml:"format" doc:"text or json"`
}

// ConsoleConfig says where the console listens.
type ConsoleConfig struct {
	Enabled bool     `yaml:"enabled" doc:"whether there is a console"`
	Listen  string   `yaml:"listen" doc:"address and port"`
	Names   []string `yaml:"names" doc:"host names, beside localhost, under which browsers may reach it"`
}

// APIConfig says where the API listens.
type APIConfig struct {
	Socket string `yaml:"socket" doc:"path of the unix socket; empty means anole.sock in the run directory"`
}

// MetricsConfig says which metrics there are.
type MetricsConfig struct {
	Runtime bool `yaml:"runtime" doc:"whether to include metrics of the Go runtime and of the process"`
}

// HistoryConfig bounds the metrics history.
type HistoryConfig struct {
	Enabled   bool           `yaml:"enabled" doc:"whether to keep a history"`
	Retention yamlx.Duration `yaml:"retention" doc:"how far back it goes, at least 10m"`
	MaxSize   yamlx.Bytes    `yaml:"maxSize" doc:"how much disk it may use, at least 16MiB"`
	Interval  yamlx.Duration `yaml:"interval" doc:"time between two samples, at least 100ms"`
}

// DefaultAgentConfig is the agent: section of an empty file.
func DefaultAgentConfig() AgentConfig {
	return AgentConfig{
		Log:     LogConfig{Level: "info", Format: "text"},
		Console: ConsoleConfig{Enabled: true, Listen: "127.0.0.1:7070"},
		Metrics: MetricsConfig{Runtime: true},
		History: HistoryConfig{Enabled: true, Retention: yamlx.Duration(24 * time.Hour), MaxSize: 256 << 20, Interval: yamlx.Duration(5 * time.Second)},
	}
}

// Level is the least severe level that is logged.
type Level string

// UnmarshalText accepts debug, info, warn and error.
func (l *Level) UnmarshalText(b []byte) error {
	return oneOf((*string)(l), b, "debug", "info", "warn", "error")
}

// Slog gives the level in slog's terms.
func (l Level) Slog() slog.Level {
	var s slog.Level
	_ = s.UnmarshalText([]byte(l))
	return s
}

// Format is the form of log lines.
type Format string

// UnmarshalText accepts text and json.
func (f *Format) UnmarshalText(b []byte) error { return oneOf((*string)(f), b, "text", "json") }

func oneOf(dst *string, b []byte, words ...string) error {
	if !slices.Contains(words, string(b)) {
		return fmt.Errorf("wants one of %s, got %q", strings.Join(words, ", "), b)
	}
	*dst = string(b)
	return nil
}

// Config is a configuration that was read and whose agent: section is sound.
type Config struct {
	Agent AgentConfig
	Files []string // that were read, in order
	doc   *yamlx.Doc
	sum   [sha256.Size]byte // of all files
}

// LoadConfig reads the file at path and lays the files conf.d/*.yaml beside it
// over it, in the order of their names. A missing file at path is an error if
// required. Modules' sections are known by name but not decoded yet.
func LoadConfig(path string, required bool, infos []core.Info) (*Config, error) {
	c := &Config{Agent: DefaultAgentConfig(), Files: []string{}}
	hash := sha256.New()
	var err error
	c.doc, err = yamlx.Load(path, required, func(name string, src []byte) {
		fmt.Fprintf(hash, "%s %d\n%s", name, len(src), src)
		c.Files = append(c.Files, name)
	})
	if err != nil {
		return nil, err
	}
	hash.Sum(c.sum[:0])
	return c, c.check(infos)
}

// check decodes what belongs to the agent; all mistakes are joined.
func (c *Config) check(infos []core.Info) error {
	keys := []string{"version", "agent"}
	for _, i := range infos {
		keys = append(keys, i.Name)
	}
	errs := []error{c.doc.CheckKeys(keys...), c.version()}
	agent := c.doc.Section("agent")
	if err := agent.Decode(&c.Agent); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, c.checkAgent(agent), c.checkDisable(agent, infos))...)
}

func (c *Config) version() error {
	if len(c.Files) == 0 {
		return nil
	}
	v := 0
	if err := c.doc.Section("version").Decode(&v); err != nil {
		return err
	}
	switch v {
	case ConfigVersion:
		return nil
	case 0:
		return c.doc.Errorf("version", "the version is missing; write \"version: %d\" at the top", ConfigVersion)
	}
	return c.doc.Errorf("version", "this agent reads version %d of the file, not %d", ConfigVersion, v)
}

func (c *Config) checkAgent(d *yamlx.Doc) error {
	var errs []error
	h, hd := c.Agent.History, d.Section("history")
	if h.Retention.Std() < 10*time.Minute {
		errs = append(errs, hd.Errorf("retention", "%v is below 10m", h.Retention))
	}
	if h.MaxSize < 16<<20 {
		errs = append(errs, hd.Errorf("maxSize", "%v is below 16MiB", h.MaxSize))
	}
	if h.Interval.Std() < 100*time.Millisecond {
		errs = append(errs, hd.Errorf("interval", "%v is below 100ms", h.Interval))
	}
	if err := checkListen(c.Agent.Console.Listen); err != nil {
		errs = append(errs, d.Section("console").Errorf("listen", "%v", err))
	}
	return errors.Join(errs...)
}

func checkListen(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not an address with a port, such as 127.0.0.1:7070", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

func (c *Config) checkDisable(d *yamlx.Doc, infos []core.Info) error {
	var errs []error
	for _, name := range c.Agent.Disable {
		i := slices.IndexFunc(infos, func(i core.Info) bool { return i.Name == name })
		if i < 0 {
			errs = append(errs, d.Errorf("disable", "no module %q is built in", name))
		}
	}
	for _, i := range infos {
		for _, need := range i.Needs {
			if c.disabled(need) && !c.disabled(i.Name) {
				errs = append(errs, d.Errorf("disable", "%q is needed by %q: disable both or none", need, i.Name))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Config) disabled(name string) bool { return slices.Contains(c.Agent.Disable, name) }

// Section gives a module's part of the configuration.
func (c *Config) Section(name string) *yamlx.Doc { return c.doc.Section(name) }

// DefaultConfigFile writes the configuration that an empty file means, with
// comments.
func DefaultConfigFile(infos []core.Info) ([]byte, error) {
	return yamlx.Encode(Sections(infos)...)
}

// Sections lists the parts of the configuration file with their defaults.
func Sections(infos []core.Info) []yamlx.Section {
	out := []yamlx.Section{
		{Key: "version", Doc: "form of this file", Value: ConfigVersion},
		{Key: "agent", Doc: "the agent itself", Value: DefaultAgentConfig()},
	}
	for _, i := range infos {
		if c := i.New().Config(); c != nil {
			out = append(out, yamlx.Section{Key: i.Name, Doc: i.Doc, Value: c})
		}
	}
	return out
}
