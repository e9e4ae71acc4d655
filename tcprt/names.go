package tcprt

// Names are what people call whose requests they are. Empty is not known.
type Names struct {
	Namespace string `json:"namespace,omitempty"` // of the pod
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
	Unit      string `json:"unit,omitempty"`    // of systemd
	Command   string `json:"command,omitempty"` // of the process
}

// String is one word for them all, the nearest to what people deployed.
func (n *Names) String() string {
	switch {
	case n.Pod != "" && n.Container != "":
		return n.Namespace + "/" + n.Pod + "/" + n.Container
	case n.Pod != "":
		return n.Namespace + "/" + n.Pod
	case n.Container != "":
		return n.Container
	case n.Command != "":
		return n.Command
	case n.Unit != "":
		return n.Unit
	}
	return "-"
}
