// Package attr names the services whose requests package tcprt times: their
// process, systemd unit, container and pod.
//
// A service is asked about once, and again when its process is another. Who it is
// comes from the first of these that tells: its cgroup, by the id that its sockets
// have (cgroup v2); the cgroup of the process that reads from its connections
// (tier Full, or a client's in any); the process that listens on its port.
package attr
