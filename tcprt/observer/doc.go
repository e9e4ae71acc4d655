// Package observer watches the TCP requests of a node over time: who has how many,
// how long each part of them takes, which were slow and who waits right now.
//
// It runs a tcprt.Collector, reads the kernel's counts each second, names the
// services, keeps the latest records of slow, failed and sampled requests, chooses
// from when on a request is slow (its service's 99th percentile of the last
// seconds), and keeps its own cost within a budget.
package observer
