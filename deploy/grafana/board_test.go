// Package grafana_test holds what must be true of the Grafana boards.
package grafana_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

type board struct {
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
}

type panel struct {
	ID                       int
	Title, Type, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ RefID, Expr, LegendFormat string }
}

func boards(t *testing.T) map[string]*board {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no boards: %v", err)
	}
	out := map[string]*board{}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b := &board{}
		if err := json.Unmarshal(src, b); err != nil || len(b.Panels) == 0 {
			t.Fatalf("%s: %d panels, %v", f, len(b.Panels), err)
		}
		out[f] = b
	}
	return out
}

// documented reads the metrics and their labels off docs/metrics.md.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	src, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(anole_\\w+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(src), -1) {
		var labels []string
		for l := range strings.SplitSeq(m[3], ",") {
			labels = append(labels, strings.TrimSpace(l))
		}
		if m[2] != "histogram" {
			out[m[1]] = labels
			continue
		}
		out[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
		out[m[1]+"_count"], out[m[1]+"_sum"] = labels, labels
		out[m[1]] = labels // native
	}
	if len(out) < 50 {
		t.Fatalf("only %d metrics are documented", len(out))
	}
	return out
}

var variables = strings.NewReplacer("$__rate_interval", "1m", "$node", ".*", "$role", ".*", "$service", ".*")

// Every query is one that Prometheus takes, names metrics and labels that there
// are, and asks the nodes that were chosen.
func TestQueries(t *testing.T) {
	known := documented(t)
	for file, b := range boards(t) {
		used := map[string]bool{}
		for _, p := range b.Panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: %s asks nothing", file, p.Title)
			}
			for _, q := range p.Targets {
				expr, err := parser.NewParser(parser.Options{}).ParseExpr(variables.Replace(q.Expr))
				if err != nil {
					t.Errorf("%s: %s: %s: %v", file, p.Title, q.Expr, err)
					continue
				}
				checkExpr(t, file+": "+p.Title, expr, known, used)
			}
		}
		room := "anole_" + strings.TrimSuffix(file, ".json") + "_"
		for m := range known {
			name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_count"), "_sum")
			shown := slices.ContainsFunc([]string{"", "_bucket", "_count", "_sum"}, func(s string) bool { return used[name+s] })
			if strings.HasPrefix(m, room) && !shown && !unshown[name] {
				t.Errorf("%s shows nothing of %s: add a panel, or say here why not", file, m)
			}
		}
	}
}

// unshown are metrics that another one on the board tells better.
var unshown = map[string]bool{
	"anole_qos_node_cpu_used_cores": true, "anole_qos_node_cpu_steal_cores": true, // of the node exporter too
	"anole_qos_cpu_throttled_seconds_total": true, "anole_qos_cpu_bursts_total": true, "anole_qos_workload_throttled_periods_total": true,
	"anole_qos_control_loop_late_total": true, "anole_qos_credit_grants_total": true, "anole_qos_rt_threads": true, "anole_qos_steered_total": true,
	"anole_tcprt_overlaps_total": true, "anole_tcprt_connections_opened_total": true, "anole_tcprt_services": true,
	"anole_tcprt_connections_unopened_total": true, "anole_tcprt_segments_missed_total": true, "anole_tcprt_synack_retransmits_total": true,
	"anole_qos_rt_demotions_total": true, "anole_qos_admissions_total": true, "anole_qos_net_links": true,
}

func checkExpr(t *testing.T, where string, expr parser.Expr, known map[string][]string, used map[string]bool) {
	t.Helper()
	var labels []string // of all metrics in the query
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		of, ok := known[v.Name]
		if !ok {
			t.Errorf("%s: no metric %s in docs/metrics.md", where, v.Name)
			return nil
		}
		used[v.Name] = true
		labels = append(append(labels, of...), "instance")
		chosen := false
		for _, m := range v.LabelMatchers {
			chosen = chosen || m.Name == "instance"
			if m.Name != "__name__" && m.Name != "instance" && !slices.Contains(of, m.Name) {
				t.Errorf("%s: %s has no label %s", where, v.Name, m.Name)
			}
		}
		if !chosen {
			t.Errorf("%s: %s of all nodes, whichever are chosen", where, v.Name)
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, l := range a.Grouping {
				if !slices.Contains(labels, l) {
					t.Errorf("%s: by %s, which no metric of it has", where, l)
				}
			}
		}
		return nil
	})
}

// Panels have a title, a description and a unit, ids of their own, lie below a
// row, and none covers another.
func TestLayout(t *testing.T) {
	for file, b := range boards(t) {
		ids, titles, cells := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
		rows := 0
		for i, p := range b.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: %s has id %d, as another", file, p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.Title == "" || titles[p.Title] {
				t.Errorf("%s: title %q twice", file, p.Title)
			}
			titles[p.Title] = true
			g := p.GridPos
			if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
				t.Errorf("%s: %s lies at %+v", file, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := cells[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %s covers %s", file, p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				rows++
				continue
			}
			if i == 0 {
				t.Errorf("%s: %s is above all rows", file, p.Title)
			}
			if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${ds}" {
				t.Errorf("%s: %s: description %q, unit %q, data source %q", file, p.Title, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource.UID)
			}
		}
		if rows == 0 {
			t.Errorf("%s has no rows", file)
		}
		var names []string
		for _, v := range b.Templating.List {
			names = append(names, v.Name)
		}
		if !slices.Contains(names, "node") || !slices.Contains(names, "ds") {
			t.Errorf("%s: variables %q, want ds and node", file, names)
		}
	}
}
