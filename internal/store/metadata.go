package store

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// family is what the metadata endpoint tells of one metric family.
type family struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// publish keeps type and help of the gathered families for queries.
func (s *Store) publish(families []*dto.MetricFamily) {
	now := make(map[string]family, len(families)+1)
	now["up"] = family{Type: "gauge", Help: "1 if the agent's metrics were gathered, 0 if that failed."}
	for _, f := range families {
		now[f.GetName()] = family{Type: familyType(f), Help: f.GetHelp(), Unit: f.GetUnit()}
	}
	s.mu.Lock()
	s.families = now
	s.mu.Unlock()
}

// familyType names the type as OpenMetrics does.
func familyType(f *dto.MetricFamily) string {
	switch f.GetType() {
	case dto.MetricType_UNTYPED:
		return "unknown"
	case dto.MetricType_GAUGE_HISTOGRAM:
		return "gaugehistogram"
	}
	return strings.ToLower(f.GetType().String())
}

// metadata is the latest table; it is replaced, never changed.
func (s *Store) metadata() map[string]family {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.families
}
