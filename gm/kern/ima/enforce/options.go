package enforce

import (
	"runtime"
	"time"

	"github.com/anole-os/anole/gm/kern/ima"
)

// Scope is what is watched of a path.
type Scope int

// Scopes. Of them the file system alone is held by whatever name a file is reached: whoever
// may make a mount namespace, which with user namespaces is everybody, has there a copy of
// each mount that nobody watches.
const (
	Filesystem Scope = iota // the file system that it is on, by whatever mount
	Mount                   // the mount that it is on, and no copy of it
	Path                    // the file alone, or what is in the folder, but not in folders of it
)

// Options are of Open. The zero value watches file systems, denies nothing and tells
// nothing.
type Options struct {
	Keys  *ima.Keyring `json:"-"`
	Paths []string
	Scope Scope
	// Place is where labels are: ima.Security or ima.User. A signature is as good in one
	// as in the other.
	Place ima.Place
	// Opens asks for ELF files that are opened too. Programs that are not labelled yet
	// can then not be opened by those that would label them, but for this program.
	Opens bool
	// Enforce denies (EPERM) what is not good. Without it that is told and goes on.
	Enforce       bool
	Digests       bool // a label that is a digest, which anybody can make, is good
	AllowUnsigned bool // what has no label is good, so that only what is changed is denied
	// Allow are folders and files, by their paths in this mount namespace, that need no
	// good label.
	Allow []string
	// Timeout is for one answer, 0 is 10 s. What is not known by then is denied, unless
	// TimeoutAllows.
	Timeout       time.Duration
	TimeoutAllows bool
	Workers       int // that hash at once; 0 is as many as there are processors
	Cache         int // of verdicts; 0 is 65,536
	// Tell, if set, is given what was not good, ten times a second at most. It is not
	// called twice at once and must not block for long.
	Tell func(Denial) `json:"-"`
}

func (o *Options) defaults() {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Cache <= 0 {
		o.Cache = 1 << 16
	}
}

// Reason says why a file is not good. The set is closed.
type Reason string

// Reasons. The empty one is of what is good.
const (
	Good       Reason = ""
	Unlabelled Reason = "unlabelled"
	Unsigned   Reason = "unsigned" // a digest alone
	UnknownKey Reason = "unknown_key"
	Mismatch   Reason = "mismatch"
	Malformed  Reason = "malformed"
	Changing   Reason = "changing" // while it was read
	Timeout    Reason = "timeout"
	Trouble    Reason = "error" // it could not be read
)

// Denial is of a file that is not good.
type Denial struct {
	Path       string `json:"path"`
	PID        int    `json:"pid"` // who would have it
	Exec       bool   `json:"exec"`
	Denied     bool   `json:"denied"` // false: told alone
	Reason     Reason `json:"reason"`
	Detail     string `json:"detail,omitempty"`
	Suppressed int64  `json:"suppressed,omitempty"` // that were not told since the last one
}

// Stats count since Open.
type Stats struct {
	Events    int64 `json:"events"`
	Own       int64 `json:"own"`        // this process' own, which go on
	CacheHits int64 `json:"cache_hits"` // answered without reading the file
	Verified  int64 `json:"verified"`   // files that were read and were good
	Rejected  int64 `json:"rejected"`   // files that were read and were not
	Denied    int64 `json:"denied"`
	Told      int64 `json:"told"`     // would have been denied
	Excepted  int64 `json:"excepted"` // by Allow and AllowUnsigned
	Timeouts  int64 `json:"timeouts"`
	Uncached  int64 `json:"uncached"` // verdicts that could not be kept
	Errors    int64 `json:"errors"`   // of fanotify
	Cached    int64 `json:"cached"`   // verdicts that are kept now
}
