package node

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/testkit"
)

// directives is what the unit file sets: the words of each directive.
func directives(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			out[k] = append(out[k], strings.Fields(v)...)
		}
	}
	return out
}

// TestUnitLeavesWhatIsNeeded holds the unit to what the parts of the agent do to
// a node.
func TestUnitLeavesWhatIsNeeded(t *testing.T) {
	u := directives(t)
	for _, need := range []struct{ directive, word, why string }{
		{"RestrictNamespaces", "net", "network shaping is tried in a network namespace of its own"},
		{"RestrictAddressFamilies", "AF_NETLINK", "qdiscs and filters"},
		{"RestrictAddressFamilies", "AF_UNIX", "its own API, and the sockets of container runtimes"},
		{"CapabilityBoundingSet", "CAP_NET_ADMIN", "qdiscs and filters, programs that classify packets"},
		{"CapabilityBoundingSet", "CAP_SYS_ADMIN", "bpf before Linux 5.8, network namespaces, disks' schedulers"},
		{"CapabilityBoundingSet", "CAP_BPF", "programs"},
		{"CapabilityBoundingSet", "CAP_PERFMON", "tracing programs and hardware counters"},
		{"CapabilityBoundingSet", "CAP_SYS_NICE", "scheduling policies"},
		{"CapabilityBoundingSet", "CAP_SYS_RESOURCE", "lower oom_score_adj, PSI triggers, locked memory of bpf before Linux 5.11"},
		{"CapabilityBoundingSet", "CAP_SYS_PTRACE", "core-scheduling cookies and namespaces of processes"},
		{"CapabilityBoundingSet", "CAP_DAC_OVERRIDE", "oom_score_adj of other users' processes"},
		{"CapabilityBoundingSet", "CAP_KILL", "eviction"},
		{"ProtectControlGroups", "no", "cgroups are written"},
		{"ProtectKernelTunables", "no", "/proc/PID/oom_score_adj, /sys/block/DISK/queue/scheduler and the like are written"},
	} {
		if !slices.Contains(u[need.directive], need.word) {
			t.Errorf("%s=%s lacks %s: %s", need.directive, strings.Join(u[need.directive], " "), need.word, need.why)
		}
	}
	for _, no := range []struct{ directive, word, why string }{
		{"RestrictRealtime", "yes", "the real-time lane"},
		{"PrivateNetwork", "yes", "the node's interfaces"},
		{"PrivateDevices", "yes", "it takes CAP_SYS_RAWIO and makes /dev another"},
		{"PrivateUsers", "yes", "capabilities would count in a user namespace only"},
		{"ProtectProc", "invisible", "processes of others are read"},
		{"ProcSubset", "pid", "/proc/pressure, /proc/stat and /proc/diskstats"},
		{"RestrictNamespaces", "yes", "network shaping is tried in a network namespace of its own"},
	} {
		if slices.Contains(u[no.directive], no.word) {
			t.Errorf("%s=%s takes away: %s", no.directive, no.word, no.why)
		}
	}
	// Two counters for each of 500 cgroups on 32 CPUs, and the files held open.
	if n, err := strconv.Atoi(u["LimitNOFILE"][0]); err != nil || n < 2*500*32+500*16 {
		t.Errorf("LimitNOFILE=%v", u["LimitNOFILE"])
	}
}

// TestUnitTakesNoFeatureAway asks the agent's probes, free and with the unit's
// capabilities, namespaces, address families and files.
func TestUnitTakesNoFeatureAway(t *testing.T) {
	testkit.NeedRoot(t)
	agent := filepath.Join(t.TempDir(), "anole")
	if out, err := exec.Command("go", "build", "-o", agent, "../../cmd/anole").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	free, held := doctor(t, agent, nil), doctor(t, agent, directives(t))
	yes := 0
	for feature, answer := range free {
		if answer == "yes" {
			yes++
		}
		if held[feature] != answer {
			t.Errorf("%s: %s, as the unit runs it: %s", feature, answer, held[feature])
		}
	}
	if yes < 3 || len(held) != len(free) {
		t.Errorf("%d of %d features are there, %d under the unit: this tests nothing", yes, len(free), len(held))
	}
}

const heldEnv = "ANOLE_TEST_UNIT"

// doctor gives the answer and reason to each feature.
func doctor(t *testing.T, agent string, u map[string][]string) map[string]string {
	t.Helper()
	cmd := exec.Command(agent)
	if u != nil {
		b, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("/proc/self/exe", "-test.run=^TestUnitHeld$")
		cmd.Env = append(os.Environ(), heldEnv+"="+string(b), heldEnv+"_AGENT="+agent)
	} else {
		cmd.Args = append(cmd.Args, doctorArgs...)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("doctor: %v\n%s", err, out)
	}
	var all []struct{ Room, Feature, Answer, Reason, Detail string }
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := map[string]string{}
	for _, a := range all {
		answers[a.Room+"/"+a.Feature] = strings.TrimSpace(a.Answer + " " + a.Reason)
	}
	return answers
}

var doctorArgs = []string{"doctor", "-o", "json"}

// TestUnitHeld is no test but what doctor starts: it gives up what the unit
// withholds and becomes the agent.
func TestUnitHeld(t *testing.T) {
	if os.Getenv(heldEnv) == "" {
		return
	}
	var u map[string][]string
	if err := json.Unmarshal([]byte(os.Getenv(heldEnv)), &u); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	if err := hold(u); err != nil {
		t.Fatal(err)
	}
	agent := os.Getenv(heldEnv + "_AGENT")
	t.Fatal(syscall.Exec(agent, append([]string{agent}, doctorArgs...), os.Environ()))
}

// hold does to this thread what systemd does before it runs a unit's program.
func hold(u map[string][]string) error {
	n, err := strconv.ParseUint(u["LimitNOFILE"][0], 10, 64)
	if err != nil {
		return err
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	n = min(n, l.Max)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		return err
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if slices.ContainsFunc(u["CapabilityBoundingSet"], func(name string) bool { return capabilities[name] == c }) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL { // not of this kernel
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	f := filter(u)
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

var capabilities = map[string]uintptr{
	"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_NICE": unix.CAP_SYS_NICE, "CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE,
	"CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
	"CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_KILL": unix.CAP_KILL,
}

// filter is RestrictNamespaces and RestrictAddressFamilies, systemd.exec(5), as
// a program of seccomp(2): clone3 is unknown, as its flags cannot be looked at.
func filter(u map[string][]string) []unix.SockFilter {
	kinds := map[string]uint32{
		"net": unix.CLONE_NEWNET, "mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "user": unix.CLONE_NEWUSER,
		"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP,
	}
	var closed uint32
	for kind, flag := range kinds {
		if !slices.Contains(u["RestrictNamespaces"], kind) && !slices.Contains(u["RestrictNamespaces"], "no") {
			closed |= flag
		}
	}
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		any   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		give  = unix.BPF_RET | unix.BPF_K
		allow = 0x7fff0000 // SECCOMP_RET_ALLOW
		refus = 0x00050000 // SECCOMP_RET_ERRNO
		arg   = 16         // of seccomp_data: the first argument's lower half; the next is 8 further
	)
	f := []unix.SockFilter{{Code: load}} // the call's number
	call := func(nr uintptr, body ...unix.SockFilter) {
		f = append(f, unix.SockFilter{Code: equal, Jf: uint8(len(body)), K: uint32(nr)})
		f = append(f, body...)
	}
	refuse := func(errno unix.Errno) unix.SockFilter { return unix.SockFilter{Code: give, K: refus | uint32(errno)} }
	flags := func(at uint32) []unix.SockFilter {
		return []unix.SockFilter{{Code: load, K: at}, {Code: any, Jf: 1, K: closed}, refuse(unix.EPERM), {Code: give, K: allow}}
	}
	call(unix.SYS_UNSHARE, flags(arg)...)
	call(unix.SYS_CLONE, flags(arg)...)
	call(unix.SYS_CLONE3, refuse(unix.ENOSYS))
	call(unix.SYS_SETNS, append([]unix.SockFilter{{Code: load, K: arg + 8}, {Code: equal, Jf: 1}, refuse(unix.EPERM)}, flags(arg+8)...)...)
	families := map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK}
	socket := []unix.SockFilter{{Code: load, K: arg}}
	for name, family := range families {
		if slices.Contains(u["RestrictAddressFamilies"], name) {
			socket = append(socket, unix.SockFilter{Code: equal, Jf: 1, K: family}, unix.SockFilter{Code: give, K: allow})
		}
	}
	call(unix.SYS_SOCKET, append(socket, refuse(unix.EAFNOSUPPORT))...)
	return append(f, unix.SockFilter{Code: give, K: allow})
}
