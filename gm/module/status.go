package module

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/internal/term"
)

// status is how the room is: the answer of /api/v1/gm/status.
type status struct {
	Implementations []implementation `json:"implementations"`
	Limit           string           `json:"gm_cpu,omitempty"` // what GM_CPU in the environment says
	LimitProblem    string           `json:"gm_cpu_problem,omitempty"`
	SelfTest        tested           `json:"selftest"`
	Policy          inForce          `json:"policy"`
	RNG             generator        `json:"rng"`
	Enforce         *enforcerState   `json:"ima_enforce,omitempty"`
	Problem         string           `json:"problem,omitempty"` // why nothing is done with keys
}

// implementation is one that was chosen.
type implementation struct {
	Algorithm      string `json:"algorithm"`
	Implementation string `json:"implementation"`
}

// tested is what the self-tests came to.
type tested struct {
	State    selftest.State    `json:"state"`
	Tests    int               `json:"tests"`
	Failures []selftest.Result `json:"failures"`
}

// inForce is the policy.
type inForce struct {
	Mode        policy.Mode     `json:"mode"`
	MinBits     int             `json:"min_bits"`
	RejectECB   bool            `json:"reject_ecb"`
	RequireDual bool            `json:"require_dual"`
	DistIDs     []string        `json:"dist_ids"`
	Denials     []policy.Denial `json:"denials"`
}

// generator is the state of the random bit generator.
type generator struct {
	OK       bool   `json:"ok"`
	Problem  string `json:"problem,omitempty"`
	Bytes    uint64 `json:"bytes"`
	Reseeds  uint64 `json:"reseeds"`
	Failures uint64 `json:"health_failures"`
}

func implementations() []implementation {
	return []implementation{{"SM2", sm2.Implementation()}, {"SM3", sm3.Implementation()}, {"SM4", sm4.Implementation()}}
}

// now is how this process is.
func now() status {
	s := status{Implementations: implementations(), Limit: os.Getenv("GM_CPU")}
	if _, err := impl.Limit(); err != nil {
		s.LimitProblem = err.Error()
	}
	t := selftest.Last()
	s.SelfTest = tested{t.State, len(t.Results), append([]selftest.Result{}, t.Failures()...)}
	c := policy.Default.Policy().Config()
	s.Policy = inForce{c.Mode, c.MinBits, c.RejectECB, c.RequireDual, append([]string{}, c.DistIDs...), append([]policy.Denial{}, policy.Default.Denials()...)}
	g := rng.Reader.Stats()
	s.RNG = generator{OK: true, Bytes: g.Bytes, Reseeds: g.Reseeds, Failures: g.Repetition + g.Proportion + g.Source}
	if err := rng.Reader.Err(); err != nil {
		s.RNG.OK, s.RNG.Problem = false, err.Error()
	}
	s.Problem = failure()
	return s
}

// failure says why nothing may be done with a key, or "".
func failure() string {
	if bad := selftest.Last().Failures(); len(bad) > 0 {
		return fmt.Sprintf("self-test of %s (%s) failed: %v", bad[0].Name, bad[0].Implementation, bad[0].Err)
	}
	if err := rng.Reader.Err(); err != nil {
		return fmt.Sprintf("the random bit generator is in its error state: %v", err)
	}
	return ""
}

// status is how the agent's room is.
func (m *Module) status() status {
	s := now()
	m.mu.Lock()
	g := m.guard
	m.mu.Unlock()
	if g != nil {
		e := g.state()
		s.Enforce = &e
	}
	return s
}

// levels names the implementations: once where all are the same.
func (s *status) levels() string {
	var all []string
	for _, i := range s.Implementations {
		if !slices.Contains(all, i.Implementation) {
			all = append(all, i.Implementation)
		}
	}
	return list(all)
}

// Routes implements core.Router.
func (m *Module) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/gm/status", func(w http.ResponseWriter, _ *http.Request) { core.Answer(w, m.status(), nil) })
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Implementations, self-test, policy, random bits, enforcement of labels",
		Long: `Says how the agent's room is or, where no agent runs, how this program is: with the
policy of the configuration file, after the self-test.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			s, of, err := statusOf(cmd)
			if err != nil {
				return err
			}
			if env.JSON {
				return env.PrintJSON(struct {
					Of string `json:"of"` // agent or program
					*status
				}{of, s})
			}
			return s.table(of).Write(env.Out)
		},
	}
}

// statusOf asks the agent, or finds out for itself.
func statusOf(cmd *cobra.Command) (*status, string, error) {
	var s status
	env := core.EnvFrom(cmd.Context())
	if env.Agent != nil {
		err := env.Ask(cmd.Context(), http.MethodGet, "gm/status", nil, nil, &s)
		if err == nil || cmd.Context().Err() != nil {
			return &s, "agent", err
		}
	}
	if err := setPolicy(cmd); err != nil {
		return nil, "", err
	}
	_ = selftest.OK() // what it came to is in the status
	s = now()
	return &s, "program", nil
}

func (s *status) table(of string) *term.Table {
	t := term.NewTable()
	t.Row("of", map[string]string{"agent": "the agent", "program": "this program: no agent runs"}[of])
	limit := ""
	if s.Limit != "" {
		limit = " (GM_CPU=" + s.Limit + ")"
	}
	if s.LimitProblem != "" {
		limit = " (" + s.LimitProblem + ")"
	}
	for _, i := range s.Implementations {
		t.Row(i.Algorithm, i.Implementation+limit)
	}
	result := term.Cell{Text: fmt.Sprintf("%s, %d tests", s.SelfTest.State, s.SelfTest.Tests), Style: term.Green}
	if s.SelfTest.State != selftest.Passed {
		result.Style = term.Red
	}
	t.Row("self-test", result)
	for _, f := range s.SelfTest.Failures {
		t.Row("  "+f.Name, f.Implementation+": "+f.Error)
	}
	p := &s.Policy
	t.Row("policy", fmt.Sprintf("%s, %d bits at least", p.Mode, p.MinBits))
	for _, rule := range []struct {
		on   bool
		text string
	}{{p.RejectECB, "no ECB"}, {p.RequireDual, "two certificates"}, {len(p.DistIDs) > 0, "identities: " + list(p.DistIDs)}} {
		if rule.on {
			t.Row("", rule.text)
		}
	}
	for _, d := range p.Denials {
		t.Row("  denied", fmt.Sprintf("%s with %s, %d times", d.Op, d.Alg, d.Count))
	}
	t.Row("random bits", fmt.Sprintf("%s, %d bytes given, %d times seeded anew, %d failures", cmp.Or(s.RNG.Problem, "good"), s.RNG.Bytes, s.RNG.Reseeds, s.RNG.Failures))
	if e := s.Enforce; e != nil {
		t.Row("labels", fmt.Sprintf("%s, %s of %s: %s", e.Mode, e.Scope, strings.Join(e.Paths, " "), cmp.Or(e.Problem, statsText(&e.Stats))))
		for i := range e.Last {
			t.Row("  "+e.Last[i].Time.Local().Format("15:04:05"), denialText(&e.Last[i].Denial))
		}
	}
	if s.Problem != "" {
		t.Row("problem", term.Cell{Text: s.Problem, Style: term.Red})
	}
	return t
}
