package store

import (
	"errors"
	"time"
)

// State says whether there is history to write to and to query.
type State string

// The states of a Store.
const (
	// Starting: the database is being opened and its log replayed.
	Starting State = "starting"
	// Ready: samples are appended and queries answered.
	Ready State = "ready"
	// Waiting: queries are answered, but the clock disagrees with the history
	// so badly that no sample is appended at the moment.
	Waiting State = "waiting"
	// Off: there is no history; Reason says why. It is retried periodically.
	Off State = "off"
	// Closed: Close was called.
	Closed State = "closed"
)

// Health is the condition of a Store at one moment.
type Health struct {
	State State `json:"state"`
	// Since is when State or Reason last changed, by the store's clock.
	Since time.Time `json:"since"`
	// Reason explains every state other than Ready.
	Reason string `json:"reason,omitempty"`
	// Note says what happened to older history since Open, such as a corrupted
	// database that was moved aside. It stays until Close.
	Note string `json:"note,omitempty"`
}

// Err is nil while samples are being kept, and the reason why not otherwise.
func (h Health) Err() error {
	if h.State == Ready {
		return nil
	}
	if h.Reason == "" {
		return errors.New("metrics history is " + string(h.State))
	}
	return errors.New("metrics history is " + string(h.State) + ": " + h.Reason)
}

// Health reports the store's condition. It never blocks on the disk.
func (s *Store) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// enter records a state and logs it when state or reason changed. Errors that
// repeat with the same text therefore cost one line.
func (s *Store) enter(state State, reason string) {
	s.mu.Lock()
	old := s.health
	changed := old.State != state || old.Reason != reason
	if changed {
		s.health.State, s.health.Reason, s.health.Since = state, reason, s.opt.Now()
	}
	s.mu.Unlock()
	if !changed {
		return
	}
	switch {
	case state == Off && old.State == Off:
		s.log.Warn("metrics history still off", "reason", reason)
	case state == Off:
		s.log.Error("metrics history off", "reason", reason)
	case state == Waiting:
		s.log.Warn("metrics history waits for the clock", "reason", reason)
	case state == Ready:
		s.log.Info("metrics history ready", "dir", s.opt.Dir)
	}
}

// note records and logs what happened to older history.
func (s *Store) note(text string) {
	s.mu.Lock()
	changed := s.health.Note != text
	s.health.Note = text
	s.mu.Unlock()
	if changed {
		s.log.Warn("metrics history changed", "note", text)
	}
}
