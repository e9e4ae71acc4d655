package workload

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

func labels(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func get(t *testing.T, r *Registry, id string) *Container {
	t.Helper()
	c, ok := r.Get(id)
	if !ok {
		t.Fatalf("%s is not known", id)
	}
	return c
}

func status(r *Registry, o Origin) SourceStatus {
	for _, s := range r.Status() {
		if s.Name == o {
			return s
		}
	}
	return SourceStatus{}
}

// Whatever the order in which they speak, the more trusted source is believed
// field by field, the other one's extra words count too, and a disagreement is
// counted once however often it is repeated.
func TestHigherSourceWinsFieldByField(t *testing.T) {
	nri := Record{ID: "a", PodName: "web", Labels: labels("q", "BE", "only", "nri")}
	cri := Record{ID: "a", PodName: "web", Namespace: "prod", Image: "web:1", Labels: labels("q", "LS", "more", "cri")}
	events := Record{ID: "a", PodName: "other", Image: "sha256:1", Labels: labels("q", "LS")}
	say := map[string]func(*Registry){
		"nri":    func(r *Registry) { r.Feed(FromNRI).Put(nri) },
		"cri":    func(r *Registry) { r.Feed(FromCRI).Replace([]Record{cri}) },
		"events": func(r *Registry) { r.Feed(FromEvents).Put(events) },
	}
	for _, order := range []string{"nri cri events", "events cri nri", "cri nri events cri nri events", "nri events cri cri cri"} {
		r := NewRegistry()
		for _, s := range strings.Fields(order) {
			say[s](r)
		}
		c := get(t, r, "a")
		if c.PodName != "web" || c.Namespace != "prod" || c.Image != "web:1" || c.Labels["q"] != "BE" || c.Labels["more"] != "cri" || c.Labels["only"] != "nri" {
			t.Errorf("%s: %+v", order, c.Record)
		}
		if c.LabelFrom("q") != FromNRI || c.LabelFrom("more") != FromCRI || c.LabelFrom("none") != "" {
			t.Errorf("%s: labels from %s and %s", order, c.LabelFrom("q"), c.LabelFrom("more"))
		}
		if len(c.Conflicts) != 3 { // the label by two, the pod's name by one; spellings of an image are none
			t.Errorf("%s: conflicts %v", order, c.Conflicts)
		}
		gen, d := r.Generation(), status(r, FromCRI).Disagreements
		for range 10 {
			say["cri"](r)
			say["nri"](r)
		}
		if r.Generation() != gen || status(r, FromCRI).Disagreements != d {
			t.Errorf("%s: repeated words moved the generation from %d to %d, disagreements from %d to %d", order, gen, r.Generation(), d, status(r, FromCRI).Disagreements)
		}
	}
}

func TestDisagreementEndsWhenTheyAgree(t *testing.T) {
	r := NewRegistry()
	r.Feed(FromNRI).Put(Record{ID: "a", Labels: labels("q", "BE")})
	r.Feed(FromCRI).Put(Record{ID: "a", Labels: labels("q", "LS")})
	list, total := r.Conflicts(10)
	if total != 1 || list[0].Field != "label q" || list[0].Taken != "BE" || list[0].From != FromNRI || list[0].Opposing != FromCRI || status(r, FromCRI).Disagreements != 1 {
		t.Fatalf("%+v, %+v", list, status(r, FromCRI))
	}
	r.Feed(FromCRI).Put(Record{ID: "a", Labels: labels("q", "BE")})
	if list, total = r.Conflicts(10); total != 0 {
		t.Fatalf("%+v", list)
	}
	r.Feed(FromNRI).Drop("a")
	if c := get(t, r, "a"); c.Labels["q"] != "BE" || c.LabelFrom("q") != FromCRI {
		t.Errorf("after the first source's word ended: %+v", c)
	}
}

func TestGoneContainersAreForgotten(t *testing.T) {
	r := NewRegistry()
	for i := range 1000 {
		id := fmt.Sprint(i)
		r.Feed(FromNRI).Put(Record{ID: id, Cgroup: "/x/" + id})
		r.Feed(FromCRI).Put(Record{ID: id})
		r.Feed(FromNRI).Drop(id)
	}
	r.Feed(FromCRI).Replace([]Record{{ID: "7"}})
	if r.Len() != 1 || len(r.byPath) != 0 {
		t.Errorf("%d known, %d paths", r.Len(), len(r.byPath))
	}
	for i := range MaxContainers + 50 {
		r.Feed(FromEvents).Put(Record{ID: fmt.Sprint("e", i)})
	}
	if over, _ := r.Losses(); r.Len() != MaxContainers || over != 51 {
		t.Errorf("%d known, %d refused", r.Len(), over)
	}
}

// A source that cannot say that a container is gone must not keep it for ever.
func TestDisconnectedSourceDoesNotKeepTheDead(t *testing.T) {
	r := NewRegistry()
	nri, cri := r.Feed(FromNRI), r.Feed(FromCRI)
	nri.Up("")
	cri.Up("")
	nri.Put(Record{ID: "a"})
	cri.Put(Record{ID: "a"})
	nri.Down(fmt.Errorf("cut"))
	r.left("a", &Record{ID: "a"})
	if c := get(t, r, "a"); len(c.Sources()) != 1 || c.Sources()[0] != FromCRI {
		t.Errorf("sources %v", c.Sources())
	}
	cri.Drop("a")
	if r.Len() != 0 {
		t.Error("kept")
	}
}

func TestForeignRecordsAreBounded(t *testing.T) {
	big := strings.Repeat("€", 1<<20/3)
	many := map[string]string{"koordinator.sh/qosClass": "BE", "huge": big, strings.Repeat("k", 400): "v"}
	for i := range 5000 {
		many[fmt.Sprint("k", i)] = strings.Repeat("x", 1000)
	}
	r := NewRegistry()
	f := r.Feed(FromCRI)
	f.Put(Record{ID: "a", PodName: big, Labels: many, Annotations: map[string]string{"huge": big}, Cgroup: "../../etc"})
	c := get(t, r, "a")
	size := len(c.PodName)
	for k, v := range c.Labels {
		size += len(k) + len(v)
	}
	if size > maxBytes+2*maxRecord || c.Labels["koordinator.sh/qosClass"] != "BE" || !Cut(c.Annotations["huge"]) || c.Cgroup != "" {
		t.Errorf("%d bytes kept, class label %q, huge annotation %d bytes, cgroup %q", size, c.Labels["koordinator.sh/qosClass"], len(c.Annotations["huge"]), c.Cgroup)
	}
	if _, pairs := r.Losses(); pairs < 4000 {
		t.Errorf("%d pairs counted as lost", pairs)
	}
	for _, id := range []string{"", "a/b", strings.Repeat("a", 300), "a\nb"} {
		f.Put(Record{ID: id})
	}
	if s := status(r, FromCRI); r.Len() != 1 || s.Bad != 4 {
		t.Errorf("%d known, %d bad", r.Len(), s.Bad)
	}
}

func TestRecordIsWhatWasGivenOut(t *testing.T) {
	r := NewRegistry()
	r.Feed(FromNRI).Put(Record{ID: "a", Labels: labels("q", "LS")})
	was := get(t, r, "a")
	r.Feed(FromNRI).Put(Record{ID: "a", Labels: labels("q", "BE")})
	if was.Labels["q"] != "LS" || get(t, r, "a").Labels["q"] != "BE" {
		t.Error("a record that was given out changed")
	}
}

func TestCgroupPath(t *testing.T) {
	for in, want := range map[string]string{
		"/default/web":          "/default/web",
		"system.slice:docker:x": "/system.slice/docker-x.scope",
		"kubepods-besteffort-podab.slice:cri-containerd:x": "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podab.slice/cri-containerd-x.scope",
		":nerdctl:x": "/system.slice/nerdctl-x.scope",
		"web":        "", "": "", "a.slice:b:../x": "", "noslice:b:c": "", "::": "", "-.slice:a:b": "",
	} {
		if got := CgroupPath(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// The Registry is one model for any order of calls: what it says of a container
// follows from each source's last word alone.
func TestMergeDependsOnLastWordsOnly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := NewRegistry()
	type key struct{ at, id int }
	last := map[key]*Record{}
	for range 5000 {
		at, id := rng.IntN(3), rng.IntN(5)
		f := r.feeds[at]
		rec := Record{ID: fmt.Sprint(id), Namespace: fmt.Sprint(rng.IntN(3)), Labels: labels("q", fmt.Sprint(rng.IntN(3)))}
		switch rng.IntN(4) {
		case 0:
			f.Drop(rec.ID)
			delete(last, key{at, id})
		case 1:
			f.Replace([]Record{rec})
			for i := range 5 {
				delete(last, key{at, i})
			}
			last[key{at, id}] = &rec
		default:
			f.Put(rec)
			last[key{at, id}] = &rec
		}
		for id := range 5 {
			var want *Record
			conflicts := 0
			for at := range 3 {
				if rec := last[key{at, id}]; rec != nil && want == nil {
					want = rec
				} else if rec != nil {
					if rec.Namespace != want.Namespace {
						conflicts++
					}
					if rec.Labels["q"] != want.Labels["q"] {
						conflicts++
					}
				}
			}
			c, ok := r.Get(fmt.Sprint(id))
			if ok != (want != nil) || ok && (c.Namespace != want.Namespace || c.Labels["q"] != want.Labels["q"] || len(c.Conflicts) != conflicts) {
				t.Fatalf("container %d is %+v, want %+v with %d conflicts", id, c, want, conflicts)
			}
		}
	}
}

func TestRegistryFromManyGoroutines(t *testing.T) {
	r := NewRegistry()
	var wg sync.WaitGroup
	for i, o := range trust {
		wg.Go(func() {
			f := r.Feed(o)
			for n := range 500 {
				f.Put(Record{ID: fmt.Sprint(n % 7), Labels: labels("q", fmt.Sprint(i, n%3)), When: time.Unix(int64(n), 0)})
				if n%5 == 0 {
					f.Drop(fmt.Sprint(n % 3))
				}
				if c, ok := r.Get("1"); ok && c.ID != "1" {
					t.Error("another container's record")
				}
				r.since(0)
				r.Status()
			}
		})
	}
	wg.Wait()
}
