package memory

import "github.com/anole-os/anole/qos/class"

// Values of oom_score_adj by class, proc_pid_oom_score_adj(5): from −1000
// (never killed) to 1000. They leave room on both sides for those who know
// better: −1000 is for what a node cannot live without.
const (
	ScoreExclusive = -800 // LSE, LSR
	ScoreSensitive = -500 // LS
	ScoreBE        = 900
)

// Score gives the oom_score_adj for a process of a class that has now; ok is
// false when it is to be left alone. Whatever is not 0 was set by somebody
// (systemd, a runtime, the kubelet, the process itself): it stays, except that
// a best-effort process is made no less likely to go than its class; one that
// somebody protected (below 0) stays protected. kube says that the kubelet sets
// the values of this pod's containers, which go by requests: then only
// best-effort ones are raised.
func Score(c class.Class, now int, kube bool) (adj int, ok bool) {
	switch {
	case c == class.BE && now >= 0 && now < ScoreBE:
		return ScoreBE, true
	case kube || now != 0:
		return 0, false
	case c == class.LSE || c == class.LSR:
		return ScoreExclusive, true
	case c == class.LS:
		return ScoreSensitive, true
	}
	return 0, false
}
