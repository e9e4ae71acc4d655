package feature

import (
	"errors"
	"sync"
)

// Answer is what a probe found.
type Answer string

// The three answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "could not tell"
)

// Result is a probe's answer with its reasons, in the shape that `anole
// doctor -o json` and the API print.
type Result struct {
	Room    string `json:"room"`
	Feature string `json:"feature"`
	Doc     string `json:"doc"`
	Answer  Answer `json:"answer"`
	Reason  Reason `json:"reason,omitempty"`
	Need    string `json:"need,omitempty"`
	Fix     string `json:"fix,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// Probe asks the node one question, once. It is safe for concurrent use.
type Probe struct {
	room, name, doc string
	once            sync.Once
	ask             func() (detail string, err error)
	result          Result
	err             error
}

// NewProbe makes a probe of feature name for room. ask runs at most once, on
// the first call of Result or Err, and must leave the node as it was. A nil
// error means yes, an error that wraps *UnsupportedError no, any other error
// could-not-tell; detail is shown beside a yes.
func NewProbe(room, name, doc string, ask func() (detail string, err error)) *Probe {
	return &Probe{room: room, name: name, doc: doc, ask: ask}
}

// Name gives the feature's name.
func (p *Probe) Name() string { return p.name }

// Result asks, or gives the answer of the first time.
func (p *Probe) Result() Result {
	p.once.Do(p.run)
	return p.result
}

// Err gives nil for yes and the reason otherwise.
func (p *Probe) Err() error {
	p.once.Do(p.run)
	return p.err
}

func (p *Probe) run() {
	detail, err := p.ask()
	p.err = err
	p.result = Describe(p.room, p.name, p.doc, detail, err)
}

// Describe turns the outcome of a question into a Result.
func Describe(room, name, doc, detail string, err error) Result {
	r := Result{Room: room, Feature: name, Doc: doc, Answer: Yes, Detail: detail}
	if err == nil {
		return r
	}
	r.Detail = err.Error()
	var u *UnsupportedError
	if !errors.As(err, &u) {
		r.Answer = Unknown
		return r
	}
	r.Answer, r.Reason, r.Need, r.Fix = No, u.Reason, u.Need, u.Fix
	r.Detail = ""
	if u.Err != nil {
		r.Detail = u.Err.Error()
	}
	return r
}
