package e2e

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/test/fault/groups"
)

// labelRules class by label, whatever --class says.
const labelRules = quiet + `qos:
  rules:
    - {match: {label: {app: web}}, class: LS, burst: 300ms}
    - {match: {label: {tier: "*"}}, class: BE}
`

// TestRunLabel classes real runs by what --label said of them.
func TestRunLabel(t *testing.T) {
	g := groups.Open(t)
	name := strings.Trim(strings.ReplaceAll(g.Prefix, "/", ""), "-")
	n := newNode(t, labelRules)
	begin := func(class string, flags ...string) {
		t.Helper()
		c := n.command(append(append([]string{"qos", "run", "--class", class, "--name", name, "--cpus", "0.5"}, flags...), "--", "cat")...)
		keepUntilEnd(t, c)
	}
	begin("ls", "--label", "app=web", "--label", "example.com/team=x")
	begin("be", "--label", "app=web")
	begin("lsr", "--label", "tier=front")
	n.start() // after the runs: labels outlive the moment that they were given in
	for range 2 {
		for id, want := range map[string]struct{ is, labels string }{
			"anole-ls/" + name:  {"is LS by rules[0]: label app = web", "labels app=web (from run), example.com/team=x (from run)\n"},
			"anole-be/" + name:  {"is LS by rules[0]: label app = web", "labels app=web (from run)\n"}, // the policy goes first
			"anole-lsr/" + name: {"is BE by rules[1]: label tier = *", "labels tier=front (from run)\n"},
		} {
			text := ""
			n.await(id, func() bool { text, _, _ = n.try("qos", "explain", id); return text != "" })
			if !strings.Contains(text, id+" "+want.is) || !strings.Contains(text, want.labels) {
				t.Errorf("want %+v:\n%s", want, text)
			}
		}
		var x qos.Explanation
		n.await("the rule's burst", func() bool {
			n.decode(&x, "qos", "explain", "anole-ls/"+name)
			return x.Workload.Burst != nil
		})
		if x.Workload.Burst.Mode != "300ms" || x.Workload.Labels["app"] != "web" {
			t.Errorf("%+v", x.Workload)
		}
		n.stop()
		n.start() // another agent reads the same records
	}
	begin("lse", "--label", "app=web") // appears before a running agent
	n.await("the new run", func() bool {
		text, _, _ := n.try("qos", "explain", "anole-lse/"+name)
		return strings.Contains(text, "is LS by rules[0]") && strings.Contains(text, "labels app=web (from run)\n")
	})
}

// keepUntilEnd starts a run of cat that ends, and is waited for, with the test.
func keepUntilEnd(t *testing.T, c *exec.Cmd) {
	t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	if _, err := fmt.Fprintln(in, "up"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil { // cat runs
		t.Fatal("the command did not start:", err)
	}
}

func TestRunLabelMistakes(t *testing.T) {
	n := newNode(t, quiet)
	for label, says := range map[string]string{"app": "key=value", "=x": "the key is empty", "a b=x": "bad key"} {
		_, errs, code := n.try("qos", "run", "--class", "be", "--label", label, "--", "true")
		if code != 2 || !strings.Contains(errs, "--label") || !strings.Contains(errs, says) {
			t.Errorf("%q: exit %d: %s; want 2 and %q", label, code, errs, says)
		}
	}
}
