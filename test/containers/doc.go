// Package containers tests the sources of workload records, and the qos room
// with them, against real container runtimes: containerd 1.6 and 1.7 with runc
// and crun, each with a directory and sockets of its own, and an image that the
// test makes. scripts/containers.sh fetches them.
package containers
