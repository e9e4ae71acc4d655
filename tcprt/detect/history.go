package detect

import "slices"

// kept is how many values a baseline is of.
const kept = 120

// history is the last values of quiet windows, and the same in their order.
type history struct {
	ring
	sorted [kept]float32
}

// ring is what is saved of it.
type ring struct {
	Values [kept]float32
	Count  uint32 // of Values that are there
	Next   uint32 // where the next one goes
	Skip   uint32 // windows to pass over
}

// push learns a value; one of every so many, once there are enough.
func (h *history) push(x float32, warm, every int) {
	if int(h.Count) >= warm {
		if h.Skip++; int(h.Skip) < every {
			return
		}
		h.Skip = 0
	}
	n := int(h.Count)
	if n == kept {
		at, _ := slices.BinarySearch(h.sorted[:], h.Values[h.Next])
		n--
		at = min(at, n) // of a state that somebody else wrote
		copy(h.sorted[at:], h.sorted[at+1:])
	}
	at, _ := slices.BinarySearch(h.sorted[:n], x)
	copy(h.sorted[at+1:n+1], h.sorted[at:n])
	h.sorted[at] = x
	h.Values[h.Next] = x
	h.Next = (h.Next + 1) % kept
	h.Count = uint32(n) + 1
}

// order sorts anew, after the ring was read from elsewhere.
func (h *history) order() {
	h.sorted = h.Values
	slices.Sort(h.sorted[:h.Count])
}

// quantile is between two values where it is not at one.
func (h *history) quantile(q float64) float64 {
	at := q * float64(h.Count-1)
	i := int(at)
	j := min(i+1, int(h.Count)-1)
	part := at - float64(i)
	return float64(h.sorted[i])*(1-part) + float64(h.sorted[j])*part
}

// normal gives the median and a standard deviation: the larger of what the
// quartiles and the upper end would have in a normal distribution.
func (h *history) normal() (mid, scale float64) {
	mid = h.quantile(0.5)
	return mid, max((h.quantile(0.75)-h.quantile(0.25))/1.349, (h.quantile(0.95)-mid)/1.645)
}

// cauchy gives the location and scale of a Cauchy distribution.
func (h *history) cauchy() (mid, scale float64) {
	return h.quantile(0.5), (h.quantile(0.75) - h.quantile(0.25)) / 2
}
