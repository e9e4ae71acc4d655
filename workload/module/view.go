package module

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/workload"
)

// View is the answer of GET /api/v1/workload/status.
type View struct {
	Time       int64                   `json:"time"` // ms since the epoch
	Containers int                     `json:"containers"`
	Sources    []workload.SourceStatus `json:"sources"`
	// Disagreements counts what sources say different things of now; Conflicts
	// has the first of them.
	Disagreements int                          `json:"disagreements"`
	Conflicts     []workload.ContainerConflict `json:"conflicts"`
	// Lost counts records for which there was no room, and labels and
	// annotations that were cut or left out.
	LostRecords uint64 `json:"lost_records"`
	LostLabels  uint64 `json:"lost_labels"`
	LateStarts  uint64 `json:"late_starts"` // containers that were let start before they were seen to
}

// mostConflicts bounds View.Conflicts.
const mostConflicts = 32

func (m *Module) view() View {
	v := View{Time: time.Now().UnixMilli(), Containers: m.reg.Len(), Sources: m.reg.Status()}
	v.Conflicts, v.Disagreements = m.reg.Conflicts(mostConflicts)
	v.LostRecords, v.LostLabels = m.reg.Losses()
	m.mu.Lock()
	v.LateStarts = m.set.NRI().Late
	m.mu.Unlock()
	if v.Conflicts == nil {
		v.Conflicts = []workload.ContainerConflict{}
	}
	return v
}

func (v *View) summary() string {
	var up []string
	for _, s := range v.Sources {
		if s.Connected {
			up = append(up, string(s.Name))
		}
	}
	from := "no container runtime connected"
	if len(up) > 0 {
		from = "told by " + strings.Join(up, ", ")
	}
	text := fmt.Sprintf("%d containers, %s", v.Containers, from)
	if v.Disagreements > 0 {
		text += fmt.Sprintf(", %d disagreements", v.Disagreements)
	}
	return text
}

// Routes implements core.Router.
func (m *Module) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/workload/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.view()) })
	mux.HandleFunc("GET /api/v1/workload/containers", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.reg.All()) })
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// descs lists all metrics of the room.
var descs []*core.Desc

func desc(kind core.Kind, name, help string, labels ...string) *core.Desc {
	d := &core.Desc{Name: "anole_workload_" + name, Help: help, Kind: kind, Labels: labels}
	descs = append(descs, d)
	return d
}

// Metrics implements core.Describer.
func (m *Module) Metrics() []*core.Desc { return descs }

var (
	containers = desc(core.Gauge, "containers", "Containers that a source speaks of.", "source")
	connected  = desc(core.Gauge, "source_connected", "Whether a source of records is connected.", "source")
	connects   = desc(core.Counter, "source_connects_total", "How often a source was connected.", "source")
	said       = desc(core.Counter, "source_events_total", "What a source said, in words.", "source")
	badRecords = desc(core.Counter, "source_bad_records_total", "Records without a usable id.", "source")
	disagreed  = desc(core.Counter, "source_disagreements_total", "How often a more trusted source was believed instead of this one.", "source")
	conflicts  = desc(core.Gauge, "conflicts", "Fields and labels of which sources say different things now.")
	lost       = desc(core.Counter, "lost_records_total", "Records for which there was no room.")
	cut        = desc(core.Counter, "cut_labels_total", "Labels and annotations that were cut or left out.")
	handler    = desc(core.Histogram, "nri_handler_seconds", "Time in which the container runtime was answered.")
	late       = desc(core.Counter, "nri_late_starts_total", "Containers that were let start before they were seen to.")
)

// Collect implements core.Collector.
func (m *Module) Collect(emit func(core.Metric)) {
	m.mu.Lock()
	set := m.set
	running := m.cancel != nil
	m.mu.Unlock()
	if !running {
		return
	}
	v := m.view()
	value := func(d *core.Desc, n float64, labels ...string) { emit(core.Metric{Desc: d, Values: labels, Value: n}) }
	for _, s := range v.Sources {
		name := string(s.Name)
		up := 0.0
		if s.Connected {
			up = 1
		}
		value(containers, float64(s.Containers), name)
		value(connected, up, name)
		value(connects, float64(s.Connects), name)
		value(said, float64(s.Events), name)
		value(badRecords, float64(s.Bad), name)
		value(disagreed, float64(s.Disagreements), name)
	}
	value(conflicts, float64(v.Disagreements))
	value(lost, float64(v.LostRecords))
	value(cut, float64(v.LostLabels))
	st := set.NRI()
	value(late, float64(st.Late))
	h := &core.Hist{Count: st.Calls, Sum: st.Sum.Seconds(), Counts: st.Buckets}
	for _, b := range st.Bounds {
		h.Bounds = append(h.Bounds, b.Seconds())
	}
	if len(h.Bounds) > 0 {
		emit(core.Metric{Desc: handler, Hist: h})
	}
}
