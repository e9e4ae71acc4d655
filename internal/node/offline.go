package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/yamlx"
)

// offline builds a set without an agent. The journal that modules find is an
// empty one of their own when none is given: nothing that is built starts.
func (o Options) offline(cfg *Config, infos []core.Info, j *journal.Journal) (*set, error) {
	if j == nil {
		dir, err := os.MkdirTemp("", "anole-check-")
		if err != nil {
			return nil, fmt.Errorf("make scratch directory: %w", err)
		}
		defer os.RemoveAll(dir)
		if j, err = journal.Open(dir); err != nil {
			return nil, err
		}
		defer j.Close()
	}
	log := slog.New(slog.DiscardHandler)
	b := &builder{
		log: log, root: o.Root, stateDir: o.StateDir, runDir: o.RunDir, journal: j,
		run: &runner{log: log, timeout: stopTimeout},
	}
	return b.build(infos, cfg)
}

// Check reads the configuration and provisions all modules with it, which
// touches nothing on the node. The error joins all mistakes.
func Check(opt Options) (*Config, error) {
	opt = opt.complete()
	infos, err := opt.Registry.Ordered()
	if err != nil {
		return nil, err
	}
	cfg, err := LoadConfig(opt.Config, opt.Required, infos)
	if err != nil {
		return nil, err
	}
	_, err = opt.offline(cfg, infos, nil)
	return cfg, err
}

// defaults is the configuration of an empty file.
func defaults() *Config {
	c := &Config{Agent: DefaultAgentConfig(), Files: []string{}}
	c.doc, _ = yamlx.Parse(nil, "defaults")
	return c
}

// Doctor asks every module's probes without an agent, disabled modules
// included. A configuration that cannot be used is replaced by the defaults
// and is then the error, beside the results.
func Doctor(opt Options) ([]feature.Result, error) {
	opt = opt.complete()
	infos, err := opt.Registry.Ordered()
	if err != nil {
		return nil, err
	}
	cfg, cfgErr := LoadConfig(opt.Config, opt.Required, infos)
	if cfgErr == nil {
		cfg.Agent.Disable = nil
		s, err := opt.offline(cfg, infos, nil)
		if s != nil {
			return askAll(s.units), err
		}
		cfgErr = err
	}
	s, err := opt.offline(defaults(), infos, nil)
	if s == nil {
		return nil, errors.Join(cfgErr, err)
	}
	return askAll(s.units), errors.Join(cfgErr, err)
}

// RevertOffline puts the node back when no agent runs: what the journal holds,
// then what each module's Reverter knows of. A running agent, which holds the
// journal, is a *journal.LockedError.
func RevertOffline(ctx context.Context, opt Options) (api.Reverted, error) {
	opt = opt.complete()
	rep := api.Reverted{Stopped: []string{}, Failed: []string{}}
	j, err := journal.Open(JournalDir(opt.StateDir))
	if err != nil {
		return rep, err
	}
	defer j.Close()
	claim, err := opt.claim()
	if err != nil {
		return rep, err
	}
	defer claim.Close()
	jr := j.Restore(ctx, opt.Undo)
	rep.Restored, rep.Gone = jr.Restored, jr.Gone
	for _, err := range jr.Failed {
		rep.Failed = append(rep.Failed, err.Error())
	}
	infos, err := opt.Registry.Ordered()
	if err != nil {
		return rep, err
	}
	cfg, err := LoadConfig(opt.Config, false, infos)
	if err != nil {
		cfg = defaults()
	}
	cfg.Agent.Disable = nil
	s, err := opt.offline(cfg, infos, j)
	if err != nil {
		// A configuration that is refused today must not keep yesterday's
		// traces on the node.
		s, err = opt.offline(defaults(), infos, j)
	}
	if err != nil {
		rep.Failed = append(rep.Failed, err.Error())
	}
	if s != nil {
		rep.Failed = append(rep.Failed, s.revert(ctx)...)
	}
	return rep, nil
}

// revert calls every Reverter and gives what went wrong.
func (s *set) revert(ctx context.Context) []string {
	var failed []string
	for _, u := range s.units {
		r, ok := u.mod.(core.Reverter)
		if state, _ := u.get(); !ok || state == core.Unsupported {
			continue
		}
		if err := s.run.guard(u, "revert", func() error { return r.Revert(ctx) }); err != nil {
			failed = append(failed, err.Error())
		}
	}
	return failed
}
