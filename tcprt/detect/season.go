package detect

import (
	"slices"
	"time"
)

// season is what each hour of the day is like: also where that is an anomaly, or
// a job of each night would be one each night.
type season struct {
	Hours [24]float32 // median of the hour, the older days the less
	Days  [24]uint8   // of how many
	Hour  int8        // of the day, that Some is of
	Now   int64       // the same with its day, or 0
	Some  [60]float32 // the first value of each minute
	Seen  uint64      // which minutes have one
}

// enough is of how many days an hour must be known.
const enough = 2

// learn takes one value of each minute.
func (s *season) learn(at time.Time, x float64) {
	if now := int64(at.Year()*366+at.YearDay())*24 + int64(at.Hour()); now != s.Now {
		s.turn()
		s.Now, s.Hour = now, int8(at.Hour())
	}
	m := at.Minute()
	if s.Seen>>m&1 == 0 {
		s.Seen |= 1 << m
		s.Some[m] = float32(x)
	}
}

// turn ends an hour. One of which less than half was seen tells nothing.
func (s *season) turn() {
	var seen [60]float32
	n := 0
	for m, x := range s.Some {
		if s.Seen>>m&1 != 0 {
			seen[n] = x
			n++
		}
	}
	s.Seen = 0
	if n < 30 {
		return
	}
	slices.Sort(seen[:n])
	h := uint8(s.Hour) % 24
	days := min(s.Days[h]+1, 7)
	s.Hours[h] += (seen[n/2] - s.Hours[h]) / float32(days)
	s.Days[h] = days
}

// usual is what the hour was like, if that is known.
func (s *season) usual(at time.Time) (float64, bool) {
	h := at.Hour()
	return float64(s.Hours[h]), s.Days[h] >= enough
}
