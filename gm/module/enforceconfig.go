package module

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/kern/ima/enforce"
	"github.com/anole-os/anole/internal/yamlx"
)

// Modes of Enforce.
const (
	modeOff     = "off"
	modeLog     = "log"
	modeEnforce = "enforce"
)

// Enforce is the section "gm.ima.enforce", and what the verb's flags say.
type Enforce struct {
	Mode            string         `yaml:"mode" doc:"off; log: tell what has no good label; enforce: deny it too. Begin with log."`
	Paths           []string       `yaml:"paths" doc:"What is watched: the file systems, mounts, folders or files at these paths."`
	Scope           string         `yaml:"scope" doc:"What of a path: its filesystem, by whatever mount; its mount, of the agent's own mount namespace alone, which under systemd is not the node's, and which any user can step out of by a mount namespace of his own; or path: a file, or the files in a folder."`
	Keys            []string       `yaml:"keys" doc:"Files of certificates and public keys, PEM or DER, one of which must have signed."`
	Opens           bool           `yaml:"opens" doc:"Whether to ask for ELF files that are opened too, as shared libraries are."`
	Digests         bool           `yaml:"digests" doc:"Whether a label that is a digest, which anybody can make, is good."`
	AllowUnlabelled bool           `yaml:"allowUnlabelled" doc:"Whether what has no label may run, so that only what is changed may not."`
	Allow           []string       `yaml:"allow" doc:"Folders and files that need no label; anole itself needs none."`
	Timeout         yamlx.Duration `yaml:"timeout" doc:"Within which a program must have been checked."`
	Late            string         `yaml:"late" doc:"What was not checked in time: deny or allow."`
	UserAttr        bool           `yaml:"userAttr" doc:"Whether labels are in user.ima, for kernels with IMA that refuse those of SM3 in security.ima."`
	Workers         int            `yaml:"workers" doc:"Files that are read at once; 0 is as many as there are processors."`
	Cache           int            `yaml:"cache" doc:"Verdicts that are kept."`
}

func defaultEnforce() Enforce {
	return Enforce{Mode: modeOff, Scope: "filesystem", Timeout: yamlx.Duration(10 * time.Second), Late: "deny", Cache: 1 << 16}
}

var enforceScopes = map[string]enforce.Scope{"mount": enforce.Mount, "filesystem": enforce.Filesystem, "path": enforce.Path}

// Bounds of numbers in the configuration.
const (
	mostWorkers = 1024
	mostCached  = 1 << 24
)

// Validate says what is wrong, the key first.
func (e *Enforce) Validate() error {
	if err := e.choices(); err != nil || e.Mode == modeOff {
		return err
	}
	switch {
	case len(e.Paths) == 0:
		return fmt.Errorf("paths: nothing is watched: name some, or have mode %s", modeOff)
	case len(e.Keys) == 0 && !e.Digests:
		return errors.New("keys: without any nothing has a good signature: name the certificates")
	}
	for key, paths := range map[string][]string{"paths": e.Paths, "keys": e.Keys, "allow": e.Allow} {
		for _, p := range paths {
			if !filepath.IsAbs(p) {
				return fmt.Errorf("%s: %q must begin with /", key, p)
			}
		}
	}
	return nil
}

// choices says what is wrong with what flags and keys alike choose.
func (e *Enforce) choices() error {
	if e.Mode != modeOff && e.Mode != modeLog && e.Mode != modeEnforce {
		return fmt.Errorf("mode %q: off, log or enforce", e.Mode)
	}
	if _, known := enforceScopes[e.Scope]; !known {
		return fmt.Errorf("scope %q: filesystem, mount or path", e.Scope)
	}
	switch {
	case e.Late != "deny" && e.Late != "allow":
		return fmt.Errorf("late %q: deny or allow", e.Late)
	case e.Timeout < yamlx.Duration(10*time.Millisecond) || e.Timeout > yamlx.Duration(time.Minute):
		return fmt.Errorf("timeout %v: 10ms to 1m", e.Timeout)
	case e.Workers < 0 || e.Workers > mostWorkers:
		return fmt.Errorf("workers %d: 0 to %d", e.Workers, mostWorkers)
	case e.Cache < 0 || e.Cache > mostCached:
		return fmt.Errorf("cache %d: 0 to %d", e.Cache, mostCached)
	}
	return nil
}

// options are for package enforce, but for Tell.
func (e *Enforce) options(keys *ima.Keyring) enforce.Options {
	o := enforce.Options{
		Keys: keys, Paths: e.Paths, Scope: enforceScopes[e.Scope], Opens: e.Opens, Enforce: e.Mode == modeEnforce, Digests: e.Digests,
		AllowUnsigned: e.AllowUnlabelled, Allow: e.Allow, Timeout: e.Timeout.Std(), TimeoutAllows: e.Late == "allow", Workers: e.Workers, Cache: e.Cache,
	}
	if e.UserAttr {
		o.Place = ima.User
	}
	return o
}
