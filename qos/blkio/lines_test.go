package blkio

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestLimitLines(t *testing.T) {
	r := Rates{ReadBytes: 1 << 20, WriteBytes: 2.5e6, ReadOps: 0.2, WriteOps: 1e12}
	got := Max.LimitLines(r)
	if len(got) != 1 || got[0].Value != "rbps=1048576 wbps=2500000 riops=1 wiops=4294967294" {
		t.Errorf("io.max: %+v", got)
	}
	var v1 []string
	for _, l := range Throttle.LimitLines(r) {
		v1 = append(v1, l.File+" "+l.Value)
	}
	want := FileReadBps + " 1048576, " + FileWriteBps + " 2500000, " + FileReadOps + " 1, " + FileWriteOps + " 4294967294"
	if strings.Join(v1, ", ") != want {
		t.Errorf("v1: %v", v1)
	}
	// The kernel takes 0 for no limit on v1 and refuses it in io.max; neither
	// is what a small number means.
	for _, m := range []Mechanism{Max, Throttle} {
		for _, l := range m.LimitLines(Rates{math.Inf(1), 0, -5, math.Inf(1)}) {
			for _, f := range strings.Fields(l.Value) {
				if _, v, ok := strings.Cut(f, "="); v == "0" || !ok && f == "0" || strings.Contains(f, "-") {
					t.Errorf("%s: %s", l.File, l.Value)
				}
			}
		}
	}
}

func TestLinesAreTakenBack(t *testing.T) {
	limit := Max.LimitLines(Rates{1, 1, 1, 1})[0]
	qos := CostLines(2*time.Millisecond, Rates{})[0]
	for _, c := range []struct {
		l         Line
		was, want string
	}{
		{limit, "", "rbps=max wbps=max riops=max wiops=max"},
		{limit, "rbps=max wbps=5 riops=max wiops=max", "rbps=max wbps=5 riops=max wiops=max"},
		{Throttle.LimitLines(Rates{})[0], "", "0"},
		{Throttle.LimitLines(Rates{})[0], "77", "77"},
		{qos, "", "enable=0 ctrl=auto"},
		// Parameters of ctrl=auto are the kernel's; written, they would be ours.
		{qos, "enable=1 ctrl=auto rpct=0.00 rlat=25000 wpct=0.00 wlat=25000 min=1.00 max=10000.00", "enable=1 ctrl=auto"},
		{qos, "enable=1 ctrl=user rpct=95.00 rlat=75000 wpct=95.00 wlat=150000 min=50.00 max=150.00", "enable=1 ctrl=user rpct=95.00 rlat=75000 wpct=95.00 wlat=150000 min=50.00 max=150.00"},
		{Cost.WeightLines(true)[0], "", "default"},
		{BFQ.WeightLines(false)[0], "300", "300"},
	} {
		if got := c.l.Back(c.was); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.l.File, c.was, got, c.want)
		}
	}
}

func TestCostLines(t *testing.T) {
	if got := CostLines(0, Rates{}); len(got) != 1 || got[0].Value != "enable=1 ctrl=auto" {
		t.Errorf("without anything known: %+v", got)
	}
	got := CostLines(5*time.Millisecond, Rates{1e9, 5e8, 1e5, 5e4})
	if len(got) != 2 || !strings.Contains(got[0].Value, "rlat=5000 ") || !strings.Contains(got[1].Value, "rbps=1000000000 rseqiops=100000") {
		t.Errorf("with all known: %+v", got)
	}
}
