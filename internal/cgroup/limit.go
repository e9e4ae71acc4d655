package cgroup

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/anole-os/anole/internal/cfs"
)

// Control files of CFS bandwidth, version 1 and version 2.
const (
	fileQuota    = "cpu.cfs_quota_us"
	filePeriod   = "cpu.cfs_period_us"
	fileBurst    = "cpu.cfs_burst_us"
	fileMax      = "cpu.max"
	fileMaxBurst = "cpu.max.burst"
)

// Limit reads the group's CPU bandwidth; without a burst file the burst is 0.
func (d *Dir) Limit() (l cfs.Limit, err error) {
	burst := fileBurst
	if d.Has(fileMax) {
		burst = fileMaxBurst
		err = d.limitOf(fileMax, &l)
	} else if err = d.limitOf(fileQuota, &l); err == nil {
		err = d.limitOf(filePeriod, &l)
	}
	if err == nil && d.Has(burst) {
		err = d.limitOf(burst, &l)
	}
	return l, err
}

func (d *Dir) limitOf(file string, l *cfs.Limit) error {
	b, err := d.ReadFile(file)
	if err != nil {
		return err
	}
	if !parseLimit(file, b, l) {
		return fmt.Errorf("parse %s: %q", filepath.Join(d.path, file), clip(b))
	}
	return nil
}

// parseLimit puts what a control file says into l.
func parseLimit(file string, b []byte, l *cfs.Limit) bool {
	first, second, two := bytes.Cut(bytes.TrimSpace(b), []byte(" "))
	n, ok := micros(first)
	switch {
	case !ok || two != (file == fileMax):
		return false
	case file == fileQuota:
		l.Quota = n
	case file == filePeriod:
		l.Period = n
	case file == fileMax:
		l.Quota = n
		l.Period, ok = micros(second)
	case file == fileBurst || file == fileMaxBurst:
		l.Burst = n
	default:
		return false
	}
	return ok
}

// micros has no limit as cfs.Unlimited.
func micros(b []byte) (int64, bool) {
	n, err := Uint(b)
	if n == math.MaxUint64 {
		return cfs.Unlimited, err == nil
	}
	return int64(min(n, math.MaxInt64)), err == nil
}

// LimitEdit is one step in words of the control files.
func (d *Dir) LimitEdit(s cfs.Step, unified bool) Edit {
	switch s.File {
	case cfs.Quota:
		return Edit{d, fileQuota, limitText(s.To.Quota, "-1")}
	case cfs.Period:
		return Edit{d, filePeriod, strconv.FormatInt(s.To.Period, 10)}
	case cfs.Max:
		return Edit{d, fileMax, limitText(s.To.Quota, "max") + " " + strconv.FormatInt(s.To.Period, 10)}
	}
	file := fileBurst
	if unified {
		file = fileMaxBurst
	}
	return Edit{d, file, strconv.FormatInt(s.To.Burst, 10)}
}

func limitText(quota int64, none string) string {
	if quota < 0 {
		return none
	}
	return strconv.FormatInt(quota, 10)
}

// LimitFiles lists the files of the group's CPU bandwidth, as edits without a
// value.
func (d *Dir) LimitFiles() []Edit {
	files := []string{filePeriod, fileQuota, fileBurst}
	if d.Has(fileMax) {
		files = []string{fileMax, fileMaxBurst}
	}
	var out []Edit
	for _, f := range files {
		if d.Has(f) {
			out = append(out, Edit{Dir: d, File: f})
		}
	}
	return out
}
