package store

import (
	"errors"
	"fmt"
	"time"
)

// reopen tries to get a session. On failure it records why and returns nil.
func (s *Store) reopen() *session {
	s.lastTry = time.Now()
	ses, err := s.open()
	switch {
	case err == nil:
		return s.begin(ses)
	case errors.Is(err, errCorrupt):
		return s.renew(err)
	}
	s.met.failures.Inc()
	s.enter(Off, err.Error())
	return nil
}

// open checks the directory and opens the database in it. The error wraps
// errCorrupt when the content is to blame.
func (s *Store) open() (*session, error) {
	if err := prepare(s.opt.Dir); err != nil {
		return nil, err
	}
	torn, err := verify(s.opt.Dir)
	if err != nil {
		return nil, err
	}
	ses, err := openSession(s.opt, s.log)
	if err != nil {
		if environment(err) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if torn || ses.value("prometheus_tsdb_wal_corruptions_total") > 0 {
		s.note("the log ended in an unfinished record, as after a crash; it was repaired and all earlier samples kept")
	}
	return ses, nil
}

// renew moves the history aside because of cause and starts a fresh one.
func (s *Store) renew(cause error) *session {
	to, err := moveAside(s.opt.Dir, s.opt.Now())
	if err != nil {
		s.met.failures.Inc()
		s.enter(Off, fmt.Sprintf("%s; %s", cause, err))
		return nil
	}
	s.met.aside.Inc()
	s.note(fmt.Sprintf("history was moved to %s and a fresh one started: %s", to, cause))
	ses, err := s.open()
	if err != nil {
		s.met.failures.Inc()
		s.enter(Off, err.Error())
		return nil
	}
	return s.begin(ses)
}

// begin hands a new session to queries and to the loop, unless Close came first.
func (s *Store) begin(ses *session) *session {
	s.cache = newCache(s.opt.Instance)
	s.failures = 0
	s.lastUpkeep = time.Now()
	s.mu.Lock()
	closed := s.ctx.Err() != nil
	if !closed {
		s.ses = ses
	}
	s.mu.Unlock()
	if closed {
		if err := ses.close(closeLimit / 2); err != nil {
			s.log.Warn("metrics history not closed cleanly", "error", err)
		}
		return nil
	}
	s.met.bytes.Store(ses.bytes())
	s.enter(Ready, "")
	return ses
}
