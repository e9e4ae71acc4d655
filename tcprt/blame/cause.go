package blame

// Cause of an anomaly.
type Cause uint8

// The causes.
const (
	Unknown        Cause = iota
	ClientUpload         // the client sends its requests slowly
	ClientReceive        // it does not read what it asked for
	NetworkLoss          // segments are lost
	NetworkRTT           // the path's round trips take longer
	NagleDelAck          // small writes wait for a delayed acknowledgement
	SocketQueue          // requests lie in the socket: the program does not come to read
	Server               // the program takes longer
	Downstream           // what it asks for takes longer
	SendBuffer           // the send buffer is full
	CPUThrottled         // the cgroup's CPU quota is used up
	CPUContention        // it waits for a CPU
	MemoryPressure       // it waits for memory
	IOPressure           // it waits for a disk
	Aborts               // connections end before the answer has arrived
	Causes               // how many there are
)

var causes = [...]string{
	"unknown", "client_upload", "client_receive", "network_loss", "network_rtt", "nagle_delack", "socket_queue", "server", "downstream",
	"send_buffer", "cpu_throttled", "cpu_contention", "memory_pressure", "io_pressure", "aborts", "none",
}

// String is its name in metrics.
func (c Cause) String() string { return causes[min(c, Causes)] }

// Host says whether the node is the cause, and not the program or the network.
func (c Cause) Host() bool { return c >= CPUThrottled && c <= IOPressure }

// Shares is how much of the time more each cause explains; all together 1.
type Shares [Causes]float64

// Top is the one that explains most.
func (s *Shares) Top() (top Cause) {
	for c := range Causes {
		if s[c] > s[top] {
			top = c
		}
	}
	return top
}

// waits is what share of the time more must be waits for a CPU for a program's own
// time to be somebody else's fault.
const waits = 0.1

// Neighbours says whether other work on the node can be the cause: the service waits
// for what it shares with it, or does not come to read, or takes longer itself while
// its threads wait for a CPU more than usual. A quota of its own, the network,
// clients and what it asks are none of the neighbours' fault.
func (v *Verdict) Neighbours() bool {
	switch v.Cause {
	case CPUContention, MemoryPressure, IOPressure, SocketQueue:
		return true
	case Server:
		return v.Shares[CPUContention] >= waits
	}
	return false
}
