package burst

import (
	"math"
	"slices"
	"time"
)

// peaks remembers how deep a process went, in bounded memory: the maximum of each of slots parts of the window, and a histogram over time whose weight
// halves each window.
type peaks struct {
	part  time.Duration
	index int64 // part that slot[index%slots] belongs to
	begun bool
	slot  [slots]float64
	most  float64   // of slot
	hist  []float64 // seconds spent at a depth, nil where no quantile is asked
}

const (
	slots = 30
	bins  = 192
	// binBase is the depth of bin 1 in ns and binStep the ratio between bins: 0.1 ms to about 10^4 s in steps of 10 %.
	binBase = 1e5
	binStep = 1.1
)

func newPeaks(window time.Duration, times bool) *peaks {
	p := &peaks{part: max(window/slots, time.Millisecond)}
	if times {
		p.hist = make([]float64, bins)
	}
	return p
}

// add notes that the process was at depth for dt.
func (p *peaks) add(now, dt time.Duration, depth float64) {
	p.roll(int64(now / p.part))
	s := &p.slot[((p.index%slots)+slots)%slots]
	*s = max(*s, depth)
	p.most = max(p.most, depth)
	if p.hist != nil {
		p.hist[bin(depth)] += dt.Seconds()
	}
}

// roll forgets the parts that left the window.
func (p *peaks) roll(to int64) {
	if !p.begun {
		p.begun, p.index = true, to
		return
	}
	gone := min(to-p.index, slots)
	for i := int64(1); i <= gone; i++ {
		p.slot[(((p.index+i)%slots)+slots)%slots] = 0
	}
	if gone <= 0 {
		return
	}
	if p.hist != nil {
		decay := math.Pow(0.5, float64(to-p.index)/slots)
		for i := range p.hist {
			p.hist[i] *= decay
		}
	}
	p.index = to
	p.most = slices.Max(p.slot[:])
}

func (p *peaks) max() float64 { return p.most }

// quantile is the depth not exceeded for the part q of the time, rounded up to a bin and never above the highest peak in the window.
func (p *peaks) quantile(q float64) float64 {
	total := 0.0
	for _, w := range p.hist {
		total += w
	}
	below := 0.0
	for i, w := range p.hist {
		if below += w; below >= q*total {
			return min(binTop(i), p.max())
		}
	}
	return p.max()
}

func bin(depth float64) int {
	if depth <= 0 {
		return 0
	}
	return max(1, min(bins-1, 1+int(math.Ceil(math.Log(depth/binBase)/math.Log(binStep)))))
}

func binTop(i int) float64 {
	if i == 0 {
		return 0
	}
	return binBase * math.Pow(binStep, float64(i-1))
}
