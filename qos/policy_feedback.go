package qos

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/control"
)

// FeedbackPolicy says what follows when requests of latency-sensitive services take
// longer than usual.
type FeedbackPolicy struct {
	Requests string         `yaml:"requests" json:"requests" doc:"Hold best-effort CPU back while requests of an LS service take longer than usual for a cause that best-effort work can be (a wait for CPU, memory or a disk, requests that nobody comes to read): auto (where the room tcprt tells of them) or off."`
	Least    float64        `yaml:"least" json:"least" doc:"Share of the room there is for best-effort work that this leaves it at the least; be.floor holds too."`
	Hold     yamlx.Duration `yaml:"hold" json:"hold" doc:"How long all such services must be as usual before best-effort work gets back a tenth of its room each second."`
	GiveUp   yamlx.Duration `yaml:"giveUp" json:"give_up" doc:"How long best-effort work is held at the least for a service that stays slow all the same; then it is not the cause, and the service is let go for ten times as long. 0 is never."`
}

func defaultFeedback() FeedbackPolicy {
	o := control.DefaultFeedback()
	return FeedbackPolicy{Requests: "auto", Least: o.Least, Hold: yamlx.Duration(o.Hold), GiveUp: yamlx.Duration(o.GiveUp)}
}

func (f *FeedbackPolicy) validate(say func(string, ...any), share func(string, float64, float64), oneOf func(string, string, ...string)) {
	oneOf("feedback.requests", f.Requests, "auto", "off")
	share("feedback.least", f.Least, 0.01)
	if d := f.Hold.Std(); d < time.Second || d > 10*time.Minute {
		say("feedback.hold: %v is not between 1s and 10m", d)
	}
	if d := f.GiveUp.Std(); d != 0 && (d < 5*time.Second || d > time.Hour) {
		say("feedback.giveUp: %v is not between 5s and 1h, or 0", d)
	}
}

func (f *FeedbackPolicy) options() control.FeedbackOptions {
	return control.FeedbackOptions{On: f.Requests != "off", Least: f.Least, Hold: f.Hold.Std(), GiveUp: f.GiveUp.Std()}
}

// String says it for people.
func (f *FeedbackPolicy) String() string {
	return fmt.Sprintf("to %.0f %% of its room at the least", f.Least*100)
}
