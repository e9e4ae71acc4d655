package store

import (
	"bufio"
	"encoding/json"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// result is the data of a query. Its encoding is that of the Prometheus HTTP
// API v1, section "Expression query result formats".
type result struct{ value parser.Value }

// write encodes piece by piece through one small scratch buffer.
func (r *result) write(out *bufio.Writer) {
	b := append([]byte(`{"resultType":`), strconv.Quote(string(r.value.Type()))...)
	b = append(b, `,"result":`...)
	switch v := r.value.(type) {
	case promql.Matrix:
		b = append(b, '[')
		for i, s := range v {
			b = comma(b, i)
			b = appendSeries(b, s, out)
		}
		b = append(b, ']')
	case promql.Vector:
		b = append(b, '[')
		for i, s := range v {
			b = comma(b, i)
			b = appendSample(b, s)
			b = spill(b, out)
		}
		b = append(b, ']')
	case promql.Scalar:
		b = appendPoint(b, v.T, v.V)
	case promql.String:
		b = append(b, '[')
		b = appendTime(b, v.T)
		b = append(b, ',')
		b = appendString(b, v.V)
		b = append(b, ']')
	default:
		b = append(b, "null"...)
	}
	b = append(b, '}')
	_, _ = out.Write(b)
}

// spill hands b to out and returns it empty. Write errors stick to out.
func spill(b []byte, out *bufio.Writer) []byte {
	_, _ = out.Write(b)
	return b[:0]
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendSeries(b []byte, s promql.Series, out *bufio.Writer) []byte {
	b = append(b, `{"metric":`...)
	b = appendLabels(b, s.Metric)
	for i, p := range s.Floats {
		if i == 0 {
			b = append(b, `,"values":[`...)
		}
		b = appendPoint(comma(b, i), p.T, p.F)
		if len(b) > 8<<10 {
			b = spill(b, out)
		}
	}
	if len(s.Floats) > 0 {
		b = append(b, ']')
	}
	for i, p := range s.Histograms {
		if i == 0 {
			b = append(b, `,"histograms":[`...)
		}
		b = appendHistogram(comma(b, i), p.T, p.H)
		b = spill(b, out)
	}
	if len(s.Histograms) > 0 {
		b = append(b, ']')
	}
	return spill(append(b, '}'), out)
}

func appendSample(b []byte, s promql.Sample) []byte {
	b = append(b, `{"metric":`...)
	b = appendLabels(b, s.Metric)
	if s.H != nil {
		b = append(b, `,"histogram":`...)
		b = appendHistogram(b, s.T, s.H)
	} else {
		b = append(b, `,"value":`...)
		b = appendPoint(b, s.T, s.F)
	}
	return append(b, '}')
}

func appendHistogram(b []byte, t int64, h *histogram.FloatHistogram) []byte {
	enc, err := json.Marshal(promql.HPoint{T: t, H: h})
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, enc...)
}

func appendPoint(b []byte, t int64, v float64) []byte {
	b = append(b, '[')
	b = appendTime(b, t)
	b = append(b, ',', '"')
	b = appendFloat(b, v)
	return append(b, '"', ']')
}

// appendTime writes t, in ms, as seconds with up to three decimals.
func appendTime(b []byte, t int64) []byte {
	u := uint64(t)
	if t < 0 {
		b = append(b, '-')
		u = -u
	}
	b = strconv.AppendUint(b, u/1000, 10)
	if ms := u % 1000; ms != 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return b
}

// appendFloat writes plain decimals except where those get long.
func appendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = append(b, '{')
	i := 0
	ls.Range(func(l labels.Label) {
		b = appendString(comma(b, i), l.Name)
		b = append(b, ':')
		b = appendString(b, l.Value)
		i++
	})
	return append(b, '}')
}

// appendString writes a JSON string. Plain ASCII, nearly all there is, is copied.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			enc, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, enc...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
