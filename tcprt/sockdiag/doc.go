// Package sockdiag is the lowest tier of package tcprt: what the kernel tells of TCP
// connections to whoever asks, without BPF.
//
// It polls INET_DIAG (sock_diag(7)) in every network namespace and adds up, per
// service, what its connections did between two looks: bytes, segments sent again
// and out of order, round trips, and what held up their sending. It sees no
// requests: Totals.Requests stays 0, and of Totals.Phases there are none. What a
// connection did after the last look at it, or a connection that lived between two
// looks, is not seen.
package sockdiag
