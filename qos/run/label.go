package run

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// MaxLabels is the most labels that a run takes: with all of them as long as
// they may be, its record still is one that maxRecord lets in.
const MaxLabels = 64

// Keys and values are those of Kubernetes (Labels and Selectors, "Syntax and
// character set"), so that a rule written for its labels also finds a run.
var (
	labelName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelPrefix = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

const (
	maxPrefix = 253
	wantLabel = "want key=value, such as app=web"
	wantName  = "1 to 63 of A-Z a-z 0-9 . _ - that begin and end with a letter or digit"
)

// ParseLabels reads the values of --label, "key=value" each. The error is a
// *FlagError.
func ParseLabels(list []string) (map[string]string, error) {
	var labels map[string]string
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return nil, flagError("--label", s, "has no =; "+wantLabel)
		}
		if err := checkLabel(k, v); err != nil {
			return nil, err
		}
		if old, twice := labels[k]; twice && old != v {
			return nil, flagError("--label", s, fmt.Sprintf("%s is given as %q too; give each key once", k, old))
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[k] = v
	}
	return labels, checkLabels(labels)
}

func checkLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return flagError("--label", fmt.Sprint(len(labels), " labels"), fmt.Sprintf("want at most %d", MaxLabels))
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) { // the same error each time
		if err := checkLabel(k, labels[k]); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(k, v string) error {
	refuse := func(reason string) error { return flagError("--label", k+"="+v, reason) }
	prefix, name, found := strings.Cut(k, "/")
	if !found {
		prefix, name = "", k
	}
	switch {
	case k == "":
		return refuse("the key is empty; " + wantLabel)
	case found && (len(prefix) > maxPrefix || !labelPrefix.MatchString(prefix)):
		return refuse("what is before the / of a key must be a DNS name in lower case, such as example.com/team=web")
	case !labelName.MatchString(name):
		return refuse("bad key: want " + wantName + ", after an optional prefix such as example.com/")
	case v != "" && !labelName.MatchString(v):
		return refuse("bad value: want none, or " + wantName)
	}
	return nil
}

// Labels gives the labels of the run in the cgroup at path ("/anole-ls/web");
// nil when it has none or is no run of anole. It reads one small file, and none
// for a path that no run can have.
func Labels(runDir, path string) map[string]string {
	if r := recordAt(runDir, path); r != nil {
		return r.Labels
	}
	return nil
}
