package archtest

import "strings"

// Law is the set of rules that Check holds a tree to.
type Law struct {
	// Floors from the lowest up. A package imports from lower floors and, where
	// Free or Rooms allow, its own.
	Floors []Floor
	// Rooms lists, for each room, the other rooms it may import; "*" is every
	// room.
	Rooms    map[string][]string
	Syscalls string // the folder of raw system calls
	Skips    string // the package through which tests skip
	MaxLines int    // of a file that is not generated
}

// Floor is a set of folders of equal standing.
type Floor struct {
	Name string
	// Dirs are folders with all below them; "*/module" has a star for one
	// element. The longest match over all floors decides.
	Dirs []string
	Free bool     // packages of this floor may import each other
	Bans []string // prefixes of import paths of other modules
	rank int
}

// floor finds where a folder belongs, or nil.
func (l Law) floor(dir string) *Floor {
	var best *Floor
	length := -1
	for i := range l.Floors {
		for _, d := range l.Floors[i].Dirs {
			if n := match(d, dir); n > length {
				best, length = &l.Floors[i], n
				best.rank = i
			}
		}
	}
	return best
}

// match gives how many characters pattern d decides about dir, or -1.
func match(d, dir string) int {
	want, have := strings.Split(d, "/"), strings.Split(dir, "/")
	if len(have) < len(want) {
		return -1
	}
	for i, w := range want {
		if w != "*" && w != have[i] {
			return -1
		}
	}
	return len(strings.Join(have[:len(want)], "/"))
}

const prometheus = "github.com/prometheus/"

// House is the law of this repository.
var House = Law{
	Syscalls: "internal/sys", Skips: "internal/testkit", MaxLines: 600,
	Floors: []Floor{
		{Name: "feature", Dirs: []string{"feature"}, Bans: []string{prometheus, "github.com/spf13/"}},
		{Name: "ground floor", Free: true, Bans: []string{prometheus, "github.com/spf13/"}, Dirs: []string{
			"internal/sys", "internal/bpfx", "internal/cgroup", "internal/netlinkx", "internal/procfs", "internal/testkit",
			"internal/archtest", "internal/cfs", "internal/journal", "internal/yamlx", "internal/term", "internal/benchfmt", "internal/plot", "internal/lab",
		}},
		{Name: "room", Bans: []string{prometheus, "github.com/spf13/"}, Dirs: []string{
			"qos", "tcprt", "rund", "gm", "cc", "uring", "kv", "xudp", "smc", "wisp", "dist", "workload",
		}},
		{Name: "contract", Dirs: []string{"core"}, Bans: []string{prometheus}},
		// An adapter knows its own room, the contract, and no other adapter.
		{Name: "adapter", Dirs: []string{"*/module"}, Bans: []string{prometheus}},
		{Name: "agent", Free: true, Dirs: []string{"internal/node", "internal/cli", "internal/api", "internal/store", "web"}},
		{Name: "top", Free: true, Dirs: []string{"cmd", "modules", "test", "deploy", "internal/deps"}},
	},
	Rooms: map[string][]string{
		"*": {"gm"}, "cc": {"kv"}, "kv": {"uring"}, "rund": {"uring", "cc", "workload"},
		"smc": {"xudp", "workload"}, "qos": {"workload"}, "tcprt": {"workload"},
	},
}
