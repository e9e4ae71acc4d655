// Package blame says why a service is not as it was: which cause explains how much
// of the time that its requests take more than usual.
//
// The time more per request is split by phase, from the means of what is now and
// what was usual. Each phase has the causes that can be behind it:
//
//	upload         the client sends in parts; its segments are lost; the path is longer;
//	               Nagle's algorithm waits for a delayed acknowledgement
//	queue, server  what the service asks for itself is slow; its cgroup is throttled,
//	               waits for a CPU, for memory or for a disk; else the server is slow
//	send, deliver  the client does not read; the send buffer is small; segments are lost;
//	               the path is longer; Nagle's algorithm
//
// and counters, samples of requests and the host's word say which of them it is. What
// nothing explains is Unknown: nothing is put on a cause for want of a better one, but
// for time in the server's own hands.
//
// The delayed acknowledgement's times are those of Linux, TCP_DELACK_MIN (40 ms) and
// TCP_DELACK_MAX (200 ms) in include/net/tcp.h; see also RFC 896 and RFC 1122,
// 4.2.3.2. The split by phase is that of TcpRT, SIGMOD 2018,
// doi:10.1145/3183713.3190659.
package blame
