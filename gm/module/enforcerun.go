package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/gm/kern/ima/enforce"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
)

// enforcerVerb is the process of an enforcer: anole gm enforcer.
const enforcerVerb = "enforcer"

// enforcerLine is one that it writes: it enforces, or not and why; what was denied; counts.
type enforcerLine struct {
	Ready   bool            `json:"ready,omitempty"`
	Problem string          `json:"problem,omitempty"`
	Denial  *enforce.Denial `json:"denial,omitempty"`
	Stats   *enforce.Stats  `json:"stats,omitempty"`
}

// Of what is told to the agent.
const (
	enforcerCounts = time.Second // between two reports of counts
	enforcerQueue  = 64          // denials that wait to be told
)

// enforcerMain enforces what standard input says, until that ends. It starts no programs.
func enforcerMain([]string) error {
	err := enforcerRun(os.Stdin, os.Stdout)
	if err != nil {
		os.Exit(1) // standard output has it
	}
	return nil
}

func enforcerRun(in io.Reader, out io.Writer) error {
	e, lines, err := enforcerOpen(in)
	say := json.NewEncoder(out)
	if err != nil {
		return errors.Join(err, say.Encode(enforcerLine{Problem: err.Error()}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // standard input ends with the agent
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	return enforcerTell(e, lines, say, ended)
}

// enforcerOpen reads what is to be enforced, and begins. Denials come by the channel.
func enforcerOpen(in io.Reader) (*enforce.Enforcer, <-chan enforce.Denial, error) {
	var c Config
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return nil, nil, fmt.Errorf("read what to enforce: %w", err)
	}
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	p, err := policy.New(c.Config)
	if err != nil {
		return nil, nil, err
	}
	policy.Default.Set(p)
	if err := selftest.OK(); err != nil {
		return nil, nil, err
	}
	ring, err := imaKeyring(&cobra.Command{}, c.IMA.Enforce.Keys)
	if err != nil {
		return nil, nil, err
	}
	o := c.IMA.Enforce.options(ring)
	if self, err := os.Executable(); err == nil { // or nobody could undo anything
		o.Allow = append(o.Allow, self)
	}
	lines := make(chan enforce.Denial, enforcerQueue)
	var lost int64
	// Who tells must not wait for the agent, which may itself wait for an answer.
	o.Tell = func(d enforce.Denial) {
		d.Suppressed += lost
		select {
		case lines <- d:
			lost = 0
		default:
			lost = d.Suppressed + 1
		}
	}
	e, err := enforce.Open(o)
	return e, lines, err
}

// enforcerTell writes denials and counts, until Run ends.
func enforcerTell(e *enforce.Enforcer, lines <-chan enforce.Denial, say *json.Encoder, ended <-chan error) error {
	var was enforce.Stats
	counts := func() error {
		s := e.Stats()
		if s == was {
			return nil
		}
		was = s
		return say.Encode(enforcerLine{Stats: &s})
	}
	err := say.Encode(enforcerLine{Ready: true})
	tick := time.NewTicker(enforcerCounts)
	defer tick.Stop()
	for err == nil {
		select {
		case d := <-lines:
			err = say.Encode(enforcerLine{Denial: &d})
		case <-tick.C:
			err = counts()
		case err := <-ended:
			if err != nil {
				err = errors.Join(err, say.Encode(enforcerLine{Problem: err.Error()}))
			}
			return errors.Join(err, counts())
		}
	}
	return errors.Join(err, e.Close())
}
