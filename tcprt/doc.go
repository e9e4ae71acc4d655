// Package tcprt times each request on the node's TCP connections, with no change
// to any program, no ports to configure and no kernel module: by eBPF at two
// tracepoints that every kernel since Linux 5.11 has.
//
// A request is a turn of a connection: one side sends, then the other. That is
// exact for protocols in which one request is under way at a time, as HTTP/1.1
// with keep-alive, Redis, MySQL and PostgreSQL; of pipelined requests a batch is
// one, and a later one that came in too early is flagged (Overlap).
//
// A request on the server's side has four times:
//
//	T0  its first segment came in
//	T1  its last segment before the answer came in
//	T2  the first packet of the answer left
//	T3  the other side acknowledged all of the answer
//
// T1-T0 is the upload, T2-T1 the server's time and T3-T2 the delivery. On the
// client's side T0 is when its first packet left, T1 when all of it was
// acknowledged, T2 when the first segment of the answer came in and T3 when the
// last one did.
//
// Where the acknowledgement of the answer waited for the next request to ride on
// (Piggyback), T3-T2 has the client's think time in it; Record.Phase takes
// that out.
//
// Sources: TcpRT, SIGMOD 2018, doi:10.1145/3183713.3190659; the kernel's
// net/ipv4/tcp_input.c (tcp_probe in tcp_rcv_established), tcp_rate.c
// (first_tx_mstamp), af_inet.c (inet_sock_set_state).
package tcprt
