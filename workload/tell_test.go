package workload

import (
	"os"
	"testing"
	"time"
)

const pod1 = "/kubepods/besteffort/pod0f0e0d0c-0b0a-0908-0706-050403020100"

func labelOf(t *testing.T, tab *Table, id, key string) string {
	t.Helper()
	w, ok := tab.Get(id)
	if !ok {
		t.Fatalf("no %s among %s", id, ids(tab))
	}
	return w.Labels[key]
}

// A word that comes late, or changes, reaches the workload at the next Refresh,
// and what was told of it stays when its source forgets it.
func TestRecordsReachWorkloads(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		step := time.Duration(0)
		if o.Poll {
			step = defaultRescan
		}
		o.Records = NewRegistry()
		asked := 0
		o.Enrich = func(*Workload) { asked++ }
		nri := o.Records.Feed(FromNRI)
		nri.Up("")
		tab := f.open(o)
		f.mkdir(pod1+"/"+id64, 1)
		f.step(tab, step, true)
		id := "container/" + id12
		if w, _ := tab.Get(id); w.Source != FromTree || w.Told != nil || w.KubeQoS != BestEffort {
			t.Fatalf("%+v", w)
		}
		f.step(tab, step, false)
		before := asked

		nri.Put(Record{ID: id64, PodName: "web", Name: "main", Namespace: "prod", Labels: labels("q", "LS")})
		old, _ := tab.Get(id)
		f.step(tab, 0, true)
		w, _ := tab.Get(id)
		if w.Labels["q"] != "LS" || w.Name != "web/main" || w.Namespace != "prod" || w.Source != FromNRI || w.Ino != old.Ino || asked != before+1 {
			t.Fatalf("%+v, asked %d times", w, asked-before)
		}
		if old.Labels != nil {
			t.Error("a workload that was given out changed")
		}
		f.step(tab, 0, false)

		nri.Put(Record{ID: id64, PodName: "web", Name: "main", Namespace: "prod", Labels: labels("q", "BE")})
		f.step(tab, 0, true)
		if q := labelOf(t, tab, id, "q"); q != "BE" {
			t.Errorf("label %q", q)
		}
		nri.Drop(id64)
		f.step(tab, 0, false)
		if q := labelOf(t, tab, id, "q"); q != "BE" {
			t.Errorf("label %q after its source forgot the container", q)
		}
		f.rm(pod1 + "/" + id64)
		f.step(tab, step, true)
		if o.Records.Len() != 0 {
			t.Errorf("%d records kept", o.Records.Len())
		}
	})
}

func TestRecordKnownBeforeTheCgroup(t *testing.T) {
	f := newForest(t)
	r := NewRegistry()
	r.Feed(FromNRI).Put(Record{ID: id64, PodUID: "u", Labels: labels("q", "BE")})
	tab := f.open(Options{Records: r})
	f.mkdir(pod1+"/"+id64, 1)
	f.step(tab, 0, true)
	w, _ := tab.Get("container/" + id12)
	if w == nil || w.Labels["q"] != "BE" || w.PodUID != "u" {
		t.Fatalf("%+v", w)
	}
	// The path says another pod than the more trusted source.
	if list, n := r.Conflicts(9); n != 1 || list[0].Field != "pod_uid" || list[0].Opposing != FromTree {
		t.Errorf("%+v", list)
	}
	f.step(tab, 0, false)
}

// Containers whose ids are names are found by their cgroup, before or after the
// record comes, and one of the same name later inherits nothing.
func TestNamedContainers(t *testing.T) {
	f := newForest(t)
	r := NewRegistry()
	ev := r.Feed(FromEvents)
	ev.Up("")
	tab := f.open(Options{Records: r})
	ev.Put(Record{ID: "web", Cgroup: "/default/web", Labels: labels("q", "BE"), Runtime: "containerd"})
	f.mkdir("/default/web/inner", 1)
	f.mkdir("/default/db/inner", 1)
	f.step(tab, 0, true)
	wantIDs(t, tab, "containerd/web", "default/db/inner")
	ev.Put(Record{ID: "db", Cgroup: "/default/db", Labels: labels("q", "LS"), Runtime: "containerd"})
	f.step(tab, 0, true)
	wantIDs(t, tab, "containerd/web", "containerd/db")
	if labelOf(t, tab, "containerd/web", "q") != "BE" || labelOf(t, tab, "containerd/db", "q") != "LS" {
		t.Error("labels of another")
	}

	hold, err := os.Open(f.dir("/default/web")) // so that its inode is not given out again
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	f.rm("/default/web")
	f.mkdir("/default/web", 1)
	f.step(tab, 0, true)
	if w, ok := tab.Get("default/web"); !ok || w.Labels != nil || w.Kind != KindPlain {
		t.Fatalf("the next of the name is %+v among %s", w, ids(tab))
	}
	ev.Put(Record{ID: "web", Cgroup: "/default/web", Labels: labels("q", "LSR"), Runtime: "containerd"})
	f.step(tab, 0, true)
	if q := labelOf(t, tab, "containerd/web", "q"); q != "LSR" {
		t.Errorf("label %q", q)
	}
}

// A list that is repeated is no word of the container that came to the name
// since; a later creation time is.
func TestRepeatedListDoesNotRebind(t *testing.T) {
	f := newForest(t)
	r := NewRegistry()
	ev := r.Feed(FromEvents)
	ev.Up("")
	tab := f.open(Options{Records: r})
	rec := Record{ID: "web", Cgroup: "/default/web", Labels: labels("q", "BE"), Created: time.Unix(1, 0)}
	ev.Replace([]Record{rec})
	f.mkdir("/default/web", 1)
	f.step(tab, 0, true)
	hold, err := os.Open(f.dir("/default/web"))
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	f.rm("/default/web")
	f.mkdir("/default/web", 1)
	ev.Replace([]Record{rec})
	f.step(tab, 0, true)
	wantIDs(t, tab, "default/web")
	rec.Created = time.Unix(2, 0)
	ev.Replace([]Record{rec})
	f.step(tab, 0, true)
	wantIDs(t, tab, "container/web")
}

// No record makes a container of what holds other workloads.
func TestRecordsDoNotSwallowPlaces(t *testing.T) {
	f := newForest(t)
	r := NewRegistry()
	for i, p := range []string{"/", "/system.slice", "/kubepods", "/kubepods/besteffort", pod1, "/plain", "/plain/holder"} {
		r.Feed(FromEvents).Put(Record{ID: string(rune('a' + i)), Cgroup: p})
	}
	f.mkdir("/system.slice/nginx.service", 1)
	f.mkdir(pod1+"/"+id64, 1)
	tab := f.open(Options{Records: r})
	f.mkdir("/other/holder/x.service", 1)
	f.step(tab, 0, true)
	r.Feed(FromEvents).Put(Record{ID: "late", Cgroup: "/other/holder"})
	f.step(tab, 0, false)
	wantIDs(t, tab, "system.slice/nginx.service", "container/"+id12, "other/holder/x.service")
}

func TestPodsOfVMRuntimesHaveTheirRecord(t *testing.T) {
	f := newForest(t)
	r := NewRegistry()
	tab := f.open(Options{Records: r})
	f.mkdir(pod1, 7)
	f.step(tab, 0, true)
	uid := "0f0e0d0c-0b0a-0908-0706-050403020100"
	r.Feed(FromCRI).Put(Record{ID: id64, PodUID: uid, Labels: labels("q", "BE")})
	f.step(tab, 0, true)
	if q := labelOf(t, tab, "pod/"+uid, "q"); q != "BE" {
		t.Errorf("label %q", q)
	}
}
