package module

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/observer"
)

func routesCommand() *cobra.Command {
	var most int
	c := &cobra.Command{
		Use:   "routes",
		Short: "What the requests are, and how long each kind of them takes",
		Long: `Lists requests by what their first bytes told: method, route and status of HTTP,
commands of Redis, verbs of MySQL and PostgreSQL. It needs tcprt.l7 in the
configuration, which is off by default, and is of the requests that have a record:
all of them with tcprt.records: all.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v routes
			if err := ask(cmd.Context(), "routes", nil, &v); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if most > 0 {
				v.Routes = v.Routes[:min(most, len(v.Routes))]
			}
			switch {
			case env.JSON:
				return env.PrintJSON(v.Routes)
			case v.L7 == observer.Off:
				_, err := fmt.Fprintln(env.Out, "nothing is read of requests: set tcprt.l7 to verbs in the configuration")
				return err
			case len(v.Routes) == 0:
				_, err := fmt.Fprintln(env.Out, "no request yet that told what it is")
				return err
			}
			if v.Records != observer.All {
				fmt.Fprintf(env.Out, "of the requests that have a record (tcprt.records is %s)\n", v.Records)
			}
			return routeTable(v.Routes).Write(env.Out)
		},
	}
	c.Flags().IntVar(&most, "limit", 0, "the so many that took the most time; 0 is all")
	return c
}

func routeTable(all []observer.Kind) *term.Table {
	t := term.NewTable("SERVICE", "ROLE", "PROTOCOL", "METHOD", "ROUTE", "STATUS", "REQUESTS", "FAILED", "P50", "P99", "LONGEST").Spare("FAILED", "PROTOCOL", "ROLE")
	for i := range all {
		k := &all[i]
		name := fmt.Sprintf("%s:%d", k.Name, k.Port)
		if k.Port == 0 {
			name = "other"
		}
		t.Row(name, k.Role, k.Protocol, k.Method, k.Route, k.Status, fmt.Sprint(k.Requests), fmt.Sprint(k.Failed), span(k.P50), span(k.P99), span(k.Longest))
	}
	return t
}

// collectKinds emits them, those of services of the same names together.
func collectKinds(all []observer.Kind, emit func(core.Metric)) {
	type sum struct {
		values []string
		n      uint64
		times  tcprt.Histogram
	}
	counts, times := map[string]*sum{}, map[string]*sum{}
	add := func(to map[string]*sum, values []string, k *observer.Kind) {
		id := strings.Join(values, "\x00")
		s := to[id]
		if s == nil {
			s = &sum{values: values}
			to[id] = s
		}
		s.n += k.Requests
		s.times.Merge(&k.Times)
	}
	for i := range all {
		k := &all[i]
		labels := otherLabels
		if k.Key != (tcprt.Service{}) {
			labels = labelsOf(k.Key, &k.Names)
		}
		labels = append(slices.Clone(labels), k.Protocol, k.Method, k.Route)
		add(times, labels, k)
		add(counts, append(slices.Clone(labels), k.Status), k)
	}
	for _, s := range counts {
		emit(core.Metric{Desc: kindCount, Values: s.values, Value: float64(s.n)})
	}
	for _, s := range times {
		emit(core.Metric{Desc: kindTime, Values: s.values, Hist: hist(&s.times, false)})
	}
}
