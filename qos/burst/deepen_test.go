package burst

import (
	"testing"
	"time"
)

func TestDeepen(t *testing.T) {
	pod := Bandwidth{Period: 100_000, Quota: 60_000}
	for _, c := range []struct {
		name  string
		b     Bandwidth
		depth Micros
		stall time.Duration
		l     Limits
		want  Bandwidth
	}{
		{"enough as it is", pod, 60_000, 0, Mainline(), pod},
		{"a burst is enough", pod, 100_000, 0, Mainline(), Bandwidth{100_000, 60_000, 40_000}},
		{"a longer period", pod, 600_000, 0, Mainline(), Bandwidth{500_000, 300_000, 300_000}},
		{"the deepest", pod, 9_000_000, 0, Mainline(), Bandwidth{1_000_000, 600_000, 600_000}},
		{"a bound on the wait", pod, 600_000, 250 * time.Millisecond, Mainline(), Bandwidth{200_000, 120_000, 120_000}},
		{"no burst file", pod, 150_000, 0, NoBurst(), Bandwidth{300_000, 180_000, 0}},
		{"Anolis", pod, 600_000, 0, ANCK(), Bandwidth{100_000, 60_000, 540_000}},
		{"its own burst stays", Bandwidth{100_000, 60_000, 50_000}, 70_000, 0, Mainline(), Bandwidth{100_000, 60_000, 50_000}},
		{"a period that fits once", Bandwidth{600_000, 60_000, 0}, 600_000, 0, Mainline(), Bandwidth{600_000, 60_000, 60_000}},
		{"no limit", Bandwidth{100_000, Unlimited, 0}, 1000, 0, Mainline(), Bandwidth{100_000, Unlimited, 0}},
	} {
		if got := Deepen(c.b, c.depth, c.stall, 0, c.l); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Whatever comes out, the kernel takes it and the rate is that of before.
func FuzzDeepen(f *testing.F) {
	f.Add(int64(100_000), int64(60_000), int64(0), int64(600_000), int64(0), false)
	f.Fuzz(func(t *testing.T, period, quota, burst, depth, stall int64, deep bool) {
		l := Mainline()
		l.BurstMayExceedQuota = deep
		b := Bandwidth{Micros(period), Micros(quota), Micros(burst)}
		if l.Check(b) != nil {
			return
		}
		got := Deepen(b, Micros(depth), time.Duration(stall), 2, l)
		if err := l.Check(got); err != nil {
			t.Fatalf("%+v -> %+v: %v", b, got, err)
		}
		if got.ratio() != b.ratio() || got.Period%b.Period != 0 || got.Depth() < b.Depth() {
			t.Fatalf("%+v -> %+v", b, got)
		}
	})
}
