package workload

import (
	"strconv"
	"strings"
)

// Shadow says whether a path of the cgroup2 hierarchy is of a group that anole puts
// processes into whose own groups are of cgroup v1, to measure them or to know their
// packets: it says nothing of whose they are.
func Shadow(path string) bool {
	for _, prefix := range [...]string{"/anole-psi-", "/anole-net-"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// containerName reads the name of a cgroup below the one called parent; id is
// "" when it is not a container's. The layouts are those of
//
//	<runtime>-<id>.scope      runc and crun with the systemd driver
//	<runtime>-<id>            CRI-O and podman with the cgroupfs driver
//	<id>                      docker and containerd with the cgroupfs driver
//	<slice>:<runtime>:<id>    runc told one driver by a kubelet told the other
//	lxc.payload.<name>, lxc.payload/<name>, lxc/<name>
func containerName(parent, name string) (runtime, id string) {
	if runtime, id = colonForm(name); id != "" {
		return runtime, id
	}
	body := strings.TrimSuffix(name, ".scope")
	if isContainerID(body) {
		return runtimes[parent], body
	}
	if i := strings.LastIndexByte(body, '-'); i > 0 && isContainerID(body[i+1:]) {
		return prefixRuntime(body[:i], body[i+1:])
	}
	return lxcName(parent, name)
}

func colonForm(name string) (runtime, id string) {
	f := strings.Split(name, ":")
	if len(f) == 3 && f[1] != "" && isContainerID(f[2]) {
		return prefixRuntime(f[1], f[2])
	}
	return "", ""
}

// prefixRuntime tells the runtime by the word before the id. A conmon is the
// monitor of the container of that id, not the container.
func prefixRuntime(prefix, id string) (string, string) {
	if strings.HasSuffix(prefix, "conmon") {
		return "", ""
	}
	if r, ok := runtimes[prefix]; ok {
		return r, id
	}
	return prefix, id
}

// runtimes names the runtime by the prefix of a scope or by the directory that
// holds bare ids.
var runtimes = map[string]string{
	"docker":         "docker",
	"cri-containerd": "containerd",
	"containerd":     "containerd",
	"nerdctl":        "containerd",
	"crio":           "cri-o",
	"libpod":         "podman",
	"libpod_parent":  "podman",
}

func lxcName(parent, name string) (runtime, id string) {
	if n, ok := strings.CutPrefix(name, "lxc.payload."); ok && n != "" {
		return "lxc", n
	}
	if parent == "lxc" || parent == "lxc.payload" {
		return "lxc", name
	}
	return "", ""
}

// isContainerID says whether s is a full container id, 256 bits in hex.
func isContainerID(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// short cuts a container id to the length that all runtimes print.
func short(id string) string {
	if isContainerID(id) {
		return id[:12]
	}
	return id
}

// unit gives the systemd unit that owns a cgroup called name, "" if none does.
// systemd puts "_" before names that could be taken for a file of the kernel's
// (src/basic/cgroup-util.c of systemd, cg_escape).
func unit(name string) string {
	name = strings.TrimPrefix(name, "_")
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	switch name[i:] {
	case ".service", ".scope", ".slice", ".socket", ".mount", ".swap":
		return name
	}
	return ""
}

// isUserManager says whether name is a user's own systemd, below which his
// services, sessions and rootless containers are.
func isUserManager(name string) bool {
	uid, ok := strings.CutPrefix(strings.TrimSuffix(name, ".service"), "user@")
	_, err := strconv.ParseUint(uid, 10, 32)
	return ok && err == nil
}

// unescape undoes systemd's escapes in a unit name (systemd.unit(5)): \xNN is
// one byte. Dashes stay: only in names made from paths do they mean slashes.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
