package benchfmt

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// Cases that fail are told in the end, and the others run; nothing of theirs is saved.
func TestRun(t *testing.T) {
	result := func(id, target string) []Result { return []Result{Single(id, id, "s", target, []float64{1})} }
	cases := []Case[int]{
		{"a-one", "", func(b int, _ context.Context) ([]Result, error) {
			if b != 7 {
				t.Errorf("measured by %d", b)
			}
			return result("a1", "<=2"), nil
		}},
		{"a-two", "", func(int, context.Context) ([]Result, error) { return nil, &NotJudgedError{"busy"} }},
		{"b", "", func(int, context.Context) ([]Result, error) { return result("b", ""), nil }},
		{"ab", "", func(int, context.Context) ([]Result, error) { return result("ab", "what?"), nil }},
	}
	for _, c := range []struct {
		names, saved []string
		failed       bool
	}{
		{nil, []string{"a1", "b"}, true},
		{[]string{"a"}, []string{"a1"}, true},
		{[]string{"b", "a-one"}, []string{"a1", "b"}, false},
		{[]string{"ab"}, nil, true},
	} {
		var saved []string
		seen := 0
		run := Run[int]{Cases: cases, Names: c.names, Say: func(string) {}, Line: func(r *Result) string { return r.ID }, Each: func(*Result) { seen++ }, Save: func(r []Result) error {
			for _, x := range r {
				if x.Kernel == "" || x.Date == "" {
					t.Errorf("%+v", x)
				}
				saved = append(saved, x.ID)
			}
			return nil
		}}
		err := run.Do(t.Context(), 7)
		if !slices.Equal(saved, c.saved) || (err != nil) != c.failed || seen < len(saved) {
			t.Errorf("%v: saved %v, want %v; %v", c.names, saved, c.saved, err)
		}
		if busy := (*NotJudgedError)(nil); c.names == nil && !errors.As(err, &busy) {
			t.Errorf("%v does not say that it was not judged", err)
		}
	}
	if n, bad := Unknown(cases, []string{"a", "b", "c"}); !bad || n != "c" {
		t.Error(n, bad)
	}
	if _, bad := Unknown(cases, []string{"a", "ab"}); bad {
		t.Error("a known case is unknown")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	run := Run[int]{Cases: cases[1:2], Say: func(string) {}}
	if err := run.Do(ctx, 7); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
