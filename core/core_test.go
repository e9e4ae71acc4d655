package core_test

import (
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
)

func info(name string, after, needs string) core.Info {
	i := core.Info{Name: name, New: func() core.Module { return nil }}
	if after != "" {
		i.After = strings.Split(after, ",")
	}
	if needs != "" {
		i.Needs = strings.Split(needs, ",")
	}
	return i
}

func order(t *testing.T, infos ...core.Info) (string, error) {
	t.Helper()
	r := &core.Registry{}
	for _, i := range infos {
		if err := r.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Ordered()
	var names []string
	for _, i := range got {
		names = append(names, i.Name)
	}
	return strings.Join(names, " "), err
}

func TestOrderDoesNotDependOnImports(t *testing.T) {
	a, b, c := info("a", "c", ""), info("b", "", ""), info("c", "absent", "b")
	for _, in := range [][]core.Info{{a, b, c}, {c, b, a}, {b, a, c}} {
		got, err := order(t, in...)
		if err != nil || got != "b c a" {
			t.Fatalf("order %q, %v; want b c a", got, err)
		}
	}
}

func TestOrderRefuses(t *testing.T) {
	if _, err := order(t, info("a", "", "zz")); err == nil || !strings.Contains(err.Error(), `"zz"`) {
		t.Fatalf("missing need: %v", err)
	}
	if _, err := order(t, info("a", "b", ""), info("b", "a", "")); err == nil {
		t.Fatal("a cycle was accepted")
	}
	r := &core.Registry{}
	_ = r.Add(info("a", "", ""))
	for _, bad := range []core.Info{info("a", "", ""), info("A", "", ""), {Name: "x"}} {
		if r.Add(bad) == nil {
			t.Fatalf("Add(%q) was accepted", bad.Name)
		}
	}
}

type greeter interface{ Greet() string }
type english struct{}

func (english) Greet() string { return "hello" }

func TestOffersGoByInterfaceType(t *testing.T) {
	o := &core.Offers{}
	if _, ok := core.Want[greeter](o); ok {
		t.Fatal("found what nobody offered")
	}
	if err := core.Offer[greeter](o, english{}); err != nil {
		t.Fatal(err)
	}
	if g, ok := core.Want[greeter](o); !ok || g.Greet() != "hello" {
		t.Fatal("the offer did not arrive")
	}
	if core.Offer[greeter](o, english{}) == nil {
		t.Fatal("a second offer was accepted")
	}
}

// The binary is a program by its name, a helper by its first arguments, or neither.
func TestEntry(t *testing.T) {
	r := &core.Registry{}
	a, b := info("a", "", ""), info("b", "", "")
	said := ""
	say := func(who string) map[string]func([]string) error {
		return map[string]func([]string) error{who: func(args []string) error {
			said = who + " " + strings.Join(args, ",")
			return nil
		}}
	}
	a.Programs, b.Entries = say("asum"), say("help-in")
	for _, i := range []core.Info{a, b} {
		if err := r.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"asum": "asum ", "/usr/bin/asum -c x": "asum -c,x", "asum b help-in": "asum b,help-in", "anole b help-in x y": "help-in x,y",
		"anole asum": "", "anole b": "", "anole b other": "", "asum.old x": "", "anole": "",
	} {
		said = ""
		if f := r.Entry(strings.Fields(line)); f != nil {
			_ = f()
		}
		if said != want {
			t.Errorf("%s: ran %q, want %q", line, said, want)
		}
	}
	if r.Entry(nil) != nil {
		t.Error("there is something for no command line")
	}
	c := info("c", "", "")
	c.Programs = say("asum")
	if r.Add(c) == nil {
		t.Error("two have one program")
	}
}
