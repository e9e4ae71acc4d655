package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/burst/rivals"
	"github.com/anole-os/anole/qos/load"
)

// The burst workload: batches of ten requests of 3 ms, 12 % of a CPU in the
// mean, under a limit of 0.3 CPUs.
const burstLimit = 0.3

// Settings that the burst bench compares.
const (
	unlimited = iota
	quotaOnly
	volcano
	koordinator
	koordinatorCold
	oursAuto
	oursFixed
	settingCount
)

// bootish is a fixed point in time for a monotonic clock.
var bootish = time.Now()

const capPeriod burst.Micros = 100_000

var settingNames = [settingCount]string{"no limit", "quota, no burst", "mainline maximum burst (Volcano)", "×1.2/s boost (Koordinator)", "×1.2/s boost, from the base", "anole, learned", "anole, 300ms"}

// setting is one of them, with its service in its cgroup.
type setting struct {
	g     *group
	svc   *child
	url   string
	boost *rivals.Boost // koordinator's state, kept over the rounds as its agent would
}

// fixedPolicy asks for a bank of 300 ms in the group of oursFixed; the others
// get the default: learned.
func fixedPolicy(rel string) string {
	return "  rules:\n    - {match: {path: \"" + rel + "\"}, class: LS, burst: 300ms}\n"
}

func burstGroup(kind int) string {
	pid := os.Getpid()
	if kind == oursAuto || kind == oursFixed {
		return fmt.Sprintf("/anole-ls/bench-burst-%d-%d", kind, pid)
	}
	return fmt.Sprintf("/anole-bench-burst-%d-%d", kind, pid)
}

func (b *bencher) settings() (s [settingCount]setting, stop func(), err error) {
	stop = func() {
		for _, x := range s {
			x.svc.kill()
			if x.g != nil {
				b.drop(x.g)
			}
		}
	}
	for k := range s {
		x := &s[k]
		if k == koordinator {
			if x.boost, err = rivals.NewBoost(rivals.BoostOptions{Base: kubernetes()}); err != nil {
				return s, stop, err
			}
		}
		if x.g, err = b.group(burstGroup(k)); err != nil {
			return s, stop, err
		}
		limit := rivals.KubernetesPlan
		if k == volcano {
			limit = rivals.VolcanoPlan
		}
		if k != unlimited {
			plan, err := limit(burstLimit)
			if err != nil {
				return s, stop, err
			}
			if err := x.g.limit(plan); err != nil {
				return s, stop, err
			}
		}
		if x.svc, x.url, err = b.service(x.g, load.ServiceOptions{Batch: true}); err != nil {
			return s, stop, err
		}
	}
	return s, stop, nil
}

// burst compares the settings. All services stand from the beginning; the
// agent runs throughout, so that what it learns is learned once, as on a node.
func (b *bencher) burst(ctx context.Context) ([]benchfmt.Result, error) {
	s, stop, err := b.settings()
	defer stop()
	if err != nil {
		return nil, err
	}
	a, err := b.agent(fixedPolicy(burstGroup(oursFixed)))
	if err != nil {
		return nil, err
	}
	defer a.stop()
	b.Say("  60 s of the workload each for the agents that learn")
	for _, k := range []int{oursAuto, koordinator} {
		if _, _, err := b.batches(ctx, a, k, s[k], 1000, b.phaseTime(60*time.Second)); err != nil {
			return nil, err
		}
	}
	rounds := make([][settingCount]load.Result, b.o.Rounds)
	for i, order := range load.Interleave(b.o.Rounds, settingCount, 2) {
		for _, k := range order {
			err := b.quiet(ctx, fmt.Sprintf("round %d, %s", i+1, settingNames[k]), func() (check, err error) {
				rounds[i][k], check, err = b.batches(ctx, a, k, s[k], uint64(i+1), b.phaseTime(21*time.Second))
				return check, err
			})
			if err != nil {
				return nil, err
			}
		}
		line := fmt.Sprintf("  round %d: p99", i+1)
		for k := range settingNames {
			line += fmt.Sprintf("  %s %v", settingNames[k], rounds[i][k].Latency.P99.Round(100*time.Microsecond))
		}
		b.Say(line)
	}
	if st, err := a.status(ctx); err == nil {
		for _, w := range st.Workloads {
			if w.Cgroup == s[oursAuto].g.rel && w.Burst != nil {
				b.Say(fmt.Sprintf("  the bank learned: quota %v, burst %v, period %v", w.Burst.Quota.Duration(), w.Burst.Burst.Duration(), w.Burst.Period.Duration()))
			}
		}
	}
	return burstResults(rounds)
}

// batches runs the workload once on one setting.
func (b *bencher) batches(ctx context.Context, a *agent, kind int, s setting, seed uint64, d time.Duration) (res load.Result, check, err error) {
	if kind == koordinatorCold {
		if s.boost, err = rivals.NewBoost(rivals.BoostOptions{Base: kubernetes()}); err != nil {
			return res, nil, err
		}
		if err := s.g.limit(kubernetes()); err != nil {
			return res, nil, err
		}
	}
	if s.boost != nil {
		stop, err := b.boost(s.g, s.boost)
		if err != nil {
			return res, nil, err
		}
		defer stop()
	}
	g, err := load.BurstOptions{URL: s.url, Seed: seed, Duration: d, Warmup: warmup, SchedFIFO: true}.GenOptions()
	if err != nil {
		return res, nil, err
	}
	gen, err := b.start(nil, "generate", g)
	if err != nil {
		return res, nil, err
	}
	defer gen.kill()
	m, err := load.OpenMeter(load.MeterOptions{Cgroups: []string{s.g.meterDir()}, PIDs: []int{os.Getpid(), a.pid(), gen.pid()}})
	if err != nil {
		return res, nil, err
	}
	if err := pause(ctx, d+warmup/2); err != nil {
		return res, nil, err
	}
	u, err := m.Sample()
	if err != nil {
		return res, nil, err
	}
	if err := gen.read(&res); err != nil {
		return res, nil, err
	}
	o := outcome{Result: res}
	return res, firstOf(b.Limits.Check(u), o.faulty()), nil
}

// boost drives a group's quota as Koordinator documents it, once a second.
func (b *bencher) boost(g *group, policy *rivals.Boost) (stop func(), err error) {
	m, err := load.OpenMeter(load.MeterOptions{})
	if err != nil {
		return nil, err
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		was := g.stat()
		for {
			select {
			case <-quit:
				return
			case <-time.After(time.Second):
			}
			now := g.stat()
			u, err := m.Sample()
			if err != nil {
				return
			}
			q, changed := policy.Step(rivals.BoostSample{At: time.Since(bootish), Throttled: now.Throttled > was.Throttled, PoolUse: u.Node / 100})
			if changed {
				_ = g.limit(burst.Bandwidth{Period: capPeriod, Quota: q})
			}
			was = now
		}
	}()
	return func() { close(quit); <-done }, nil
}

func burstResults(rounds [][settingCount]load.Result) ([]benchfmt.Result, error) {
	var p99 [settingCount][]float64
	var pools [settingCount]float64
	for k := range settingCount {
		var all []load.Result
		for i := range rounds {
			all = append(all, rounds[i][k])
			p99[k] = append(p99[k], rounds[i][k].Latency.P99.Seconds()*1000)
		}
		pool, err := load.Pool(all...)
		if err != nil {
			return nil, err
		}
		pools[k] = pool.P99.Seconds() * 1000
	}
	var out []benchfmt.Result
	add := func(id, what string, ours, peer int, target string) error {
		r, err := paired(id, what, "ms", settingNames[peer], target, p99[ours], p99[peer])
		if err != nil {
			return err
		}
		// The figures are of all requests of all rounds; the spread is that of
		// the rounds.
		r.Ours, r.Peer, r.Ratio = pools[ours], pools[peer], pools[ours]/pools[peer]
		out = append(out, r)
		return nil
	}
	const what = "p99 of bursts of 10 requests at 12 % mean use under a limit of 0.3 CPUs, "
	return out, firstOf(
		add("burst-p99-unlimited", what+"bank learned", oursAuto, unlimited, "<=1.3"),
		add("burst-p99-quota", what+"bank learned", oursAuto, quotaOnly, "<=0.25"),
		add("burst-p99-volcano", what+"bank learned", oursAuto, volcano, "<1"),
		add("burst-p99-koordinator", what+"bank learned", oursAuto, koordinator, "<1"),
		add("burst-p99-koordinator-cold", what+"bank learned", oursAuto, koordinatorCold, "<1"),
		add("burst-p99-fixed", what+"bank of 300ms", oursFixed, unlimited, "<=1.3"),
		add("volcano-p99-unlimited", what+"mainline maximum burst, for comparison", volcano, unlimited, ""),
		add("koordinator-p99-unlimited", what+"×1.2/s boost, for comparison", koordinator, unlimited, ""),
	)
}

// limit measures what a hog gets under a limit of 0.3 CPUs over a minute: with
// the agent, whose bank must not lift the long-run limit, and with the rival
// that scales the quota.
func (b *bencher) limit(ctx context.Context) ([]benchfmt.Result, error) {
	a, err := b.agent("  rules:\n    - {match: {path: \"/anole-ls/bench-hog-*\"}, class: LS, burst: " + deepest.String() + "}\n")
	if err != nil {
		return nil, err
	}
	defer a.stop()
	var ours, theirs []float64
	for i := range min(b.o.Rounds, 5) { // minutes each
		err := b.quiet(ctx, fmt.Sprintf("hog, round %d", i+1), func() (check, err error) {
			share, check, err := b.hog(ctx, a, fmt.Sprintf("/anole-ls/bench-hog-%d-%d", time.Now().UnixNano(), os.Getpid()), nil)
			if check == nil && err == nil {
				ours = append(ours, share)
			}
			return check, err
		})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			continue // the rival's long-run use is three times the limit: once is enough to say so
		}
		boost, err := rivals.NewBoost(rivals.BoostOptions{Base: kubernetes()})
		if err != nil {
			return nil, err
		}
		err = b.quiet(ctx, "hog, boosted", func() (check, err error) {
			share, check, err := b.hog(ctx, a, fmt.Sprintf("/anole-bench-hog-%d", os.Getpid()), boost)
			if check == nil && err == nil {
				theirs = append(theirs, share)
			}
			return check, err
		})
		if err != nil {
			return nil, err
		}
	}
	const what = "CPU that a hog gets over 60 s under a limit of 0.3 CPUs, as a share of the limit, "
	r := worst("burst-long-run", what+"with a full bank; the highest round", "share", "<=1.03", ours)
	return []benchfmt.Result{r, single("koordinator-long-run", what+"×1.2/s boost, for comparison", "share", "", theirs)}, nil
}

// deepest is the deepest bank that the agent learns for burstLimit.
const deepest = 255 * time.Millisecond

// hog burns under the limit for a minute after standing idle, so that its bank,
// as deep as any that is learned, is full.
func (b *bencher) hog(ctx context.Context, a *agent, rel string, boost *rivals.Boost) (share float64, check, err error) {
	g, err := b.group(rel)
	if err != nil {
		return 0, nil, err
	}
	defer b.drop(g)
	if err := g.limit(kubernetes()); err != nil {
		return 0, nil, err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return 0, nil, err
	}
	if boost != nil {
		stop, err := b.boost(g, boost)
		if err != nil {
			return 0, nil, err
		}
		defer stop()
	}
	hog, err := b.burner(g, b.cpus)
	if err != nil {
		return 0, nil, err
	}
	defer hog.kill()
	m, err := load.OpenMeter(load.MeterOptions{Cgroups: []string{g.meterDir()}, PIDs: []int{os.Getpid(), a.pid()}})
	if err != nil {
		return 0, nil, err
	}
	began, used := time.Now(), g.usage()
	if err := pause(ctx, b.phaseTime(time.Minute)); err != nil {
		return 0, nil, err
	}
	share = (g.usage() - used).Seconds() / time.Since(began).Seconds() / burstLimit
	u, err := m.Sample()
	return share, b.Limits.Check(u), err
}

// kubernetes is the limit that Kubernetes writes for 0.3 CPUs.
func kubernetes() burst.Bandwidth {
	b, _ := rivals.KubernetesPlan(burstLimit) // of a constant, tested there
	return b
}
