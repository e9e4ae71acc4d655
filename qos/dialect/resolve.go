package dialect

import (
	"fmt"

	"github.com/anole-os/anole/qos/class"
)

// order ranks the classes by what they take from others. SYSTEM, the node's own
// services, is above all: nobody asks for it by himself.
var order = [class.Count]int{class.BE: 0, class.None: 1, class.LS: 2, class.LSR: 3, class.LSE: 4, class.System: 5}

// Lower says whether class a takes less from others than b.
func Lower(a, b class.Class) bool { return order[a] < order[b] }

// Higher gives the higher of two classes.
func Higher(a, b class.Class) class.Class {
	if Lower(a, b) {
		return b
	}
	return a
}

// Resolve gives the class of a workload that has base without labels, and that
// may ask for highest at most, or for base if that is higher. by says which
// label gave it, and is empty if none did.
//
// Anybody may ask for less than he has. Who asks for more than he may gets the
// most that he may ask for; SYSTEM is no more of the same, and who asks for that
// without consent gets what he has.
func (a *Ask) Resolve(base, highest class.Class) (got class.Class, by Word, refused *Refusal) {
	if a.ClassBy.Key == "" {
		return base, Word{}, nil
	}
	most := base
	if highest != class.None {
		most = Higher(base, highest)
	}
	if !Lower(most, a.Class) {
		return a.Class, a.ClassBy, nil
	}
	got = base
	if a.Class != class.System {
		got = most
	}
	if got != base {
		by = a.ClassBy
	}
	return got, by, &Refusal{
		Key: a.ClassBy.Key, Value: show(a.ClassBy.Value), Reason: NotAllowed,
		Text: fmt.Sprintf("asks for %s; without the policy's consent (tenants) it may be %s at most", a.Class, most),
	}
}
