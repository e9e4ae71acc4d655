package module

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/internal/yamlx"
)

// Config is the section "gm" of the configuration file. Its policy holds for the agent and
// for the verbs alike.
type Config struct {
	policy.Config `yaml:",inline"`
	SelfTest      bool `yaml:"selftest" doc:"Whether to test all algorithms with known answers when the agent starts, and to be in state failed where one is wrong. Verbs test before they do anything, whatever this says."`
	IMA           IMA  `yaml:"ima" doc:"Integrity of files."`
}

// IMA is the section "gm.ima".
type IMA struct {
	Enforce Enforce `yaml:"enforce" doc:"Let programs run only with a good label, where the kernel cannot check it: a process of its own that fanotify asks."`
}

func defaultConfig() Config {
	return Config{Config: policy.DefaultConfig(), SelfTest: true, IMA: IMA{defaultEnforce()}}
}

// Validate says what is wrong.
func (c *Config) Validate() error {
	var errs []error
	if err := c.Config.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("gm.%w", err))
	}
	if err := c.IMA.Enforce.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("gm.ima.enforce.%w", err))
	}
	return errors.Join(errs...)
}

// loadConfig reads the section from the configuration file and the files of conf.d beside
// it, as the agent does. Where there are none, the defaults hold.
func loadConfig(path string, required bool) (Config, error) {
	c := defaultConfig()
	if path == "" {
		return c, nil
	}
	doc, err := yamlx.Load(path, required, nil)
	if err != nil {
		return c, err
	}
	if err := doc.Section("gm").Decode(&c); err != nil {
		return c, err
	}
	if err := c.Config.Validate(); err != nil {
		return c, fmt.Errorf("gm.%w", err)
	}
	return c, nil
}

// withoutPolicy are verbs that tell how things are, and must where a policy is wrong.
var withoutPolicy = []string{"status", "selftest", "probe", "revert", "help"}

// enforcePolicy puts the policy of the configuration file in force before a verb runs:
// from then on all of this process asks it, the libraries included.
func enforcePolicy(cmd *cobra.Command, _ []string) error {
	if among(cmd, withoutPolicy) {
		return nil
	}
	return setPolicy(cmd)
}

func setPolicy(cmd *cobra.Command) error {
	env := core.EnvFrom(cmd.Context())
	given := cmd.Root().PersistentFlags().Lookup("config")
	c, err := loadConfig(env.Config, given != nil && given.Changed)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return core.Exit(core.ExitDenied, fmt.Errorf("%w: it has the policy (gm.mode), without which nothing is done; have it readable by all", err))
	case err != nil:
		return core.Exit(core.ExitUsage, err)
	}
	p, err := policy.New(c.Config)
	if err != nil {
		return core.Exit(core.ExitUsage, err)
	}
	policy.Default.Set(p)
	return nil
}
