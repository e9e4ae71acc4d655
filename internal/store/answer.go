package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"
)

// maxNotes bounds the warnings and infos of one answer, as Prometheus does.
const maxNotes = 10

// answer is a successful response.
type answer struct {
	data  any // *result is streamed, anything else goes through encoding/json
	notes annotations.Annotations
	query string // the notes point into it
	done  func() // called once the answer is written; may be nil
}

// apiError is a response with status "error".
type apiError struct {
	kind string // errorType
	code int    // HTTP status
	err  error
}

func (e *apiError) Error() string { return e.err.Error() }
func (e *apiError) Unwrap() error { return e.err }

func badData(what string, err error) error {
	return &apiError{kind: "bad_data", code: http.StatusBadRequest, err: fmt.Errorf("%s: %w", what, err)}
}

func badParam(name string, err error) error {
	return badData(fmt.Sprintf("invalid parameter %q", name), err)
}

// queryError gives an error of the engine or the database its type and status.
func queryError(err error) error {
	var (
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		stored   promql.ErrStorage
	)
	e := &apiError{kind: "execution", code: http.StatusUnprocessableEntity, err: err}
	switch {
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		e.kind, e.code = "timeout", http.StatusServiceUnavailable
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		e.kind, e.code = "canceled", statusClientClosed
	case errors.As(err, &stored), errors.Is(err, errPanicked):
		e.kind, e.code = "internal", http.StatusInternalServerError
	}
	return e
}

func writeError(w http.ResponseWriter, err error) int {
	var e *apiError
	if !errors.As(err, &e) {
		errors.As(queryError(err), &e)
	}
	body, _ := json.Marshal(map[string]string{"status": "error", "errorType": e.kind, "error": e.Error()})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.code)
	_, _ = w.Write(body) // the client may be gone
	return e.code
}

// write sends a. A result goes out in pieces, so a large matrix needs no second
// copy in memory.
func (a *answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 16<<10)
	_, _ = out.WriteString(`{"status":"success","data":`)
	if res, ok := a.data.(*result); ok {
		res.write(out)
	} else {
		enc, err := json.Marshal(a.data)
		if err != nil {
			enc = []byte("null")
		}
		_, _ = out.Write(enc)
	}
	warnings, infos := a.notes.AsStrings(a.query, maxNotes, maxNotes)
	writeNotes(out, "warnings", warnings)
	writeNotes(out, "infos", infos)
	_ = out.WriteByte('}')
	_ = out.Flush() // the client may be gone
}

func writeNotes(out *bufio.Writer, name string, notes []string) {
	if len(notes) == 0 {
		return
	}
	enc, err := json.Marshal(notes)
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(out, ",%q:%s", name, enc)
}
