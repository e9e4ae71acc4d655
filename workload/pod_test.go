package workload

import (
	"slices"
	"testing"
)

func TestAbove(t *testing.T) {
	const (
		uid = "0123abcd-4567-89ef-0123-456789abcdef"
		box = "cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"
		id  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	)
	slice := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123abcd_4567_89ef_0123_456789abcdef.slice"
	for path, want := range map[string][]string{
		slice + "/" + box:                                  {slice},
		"/kubepods/burstable/pod" + uid + "/" + id:         {"/kubepods/burstable/pod" + uid},
		"/kubepods/pod" + uid + "/inner/" + id:             {"/kubepods/pod" + uid + "/inner", "/kubepods/pod" + uid},
		"/docker/" + id:                                    nil,
		"/system.slice/x.service":                          nil,
		"/kubepods.slice/kubepods-besteffort.slice/" + box: nil,
	} {
		w, ok := Parse(path)
		if !ok {
			t.Errorf("%s is not parsed", path)
		}
		if got := w.Above(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if got := (&Workload{Path: slice, Kind: KindPod, PodUID: uid}).Above(); got != nil {
		t.Errorf("a pod is above itself: %v", got)
	}
}
