// Package bench measures room gm against its peers on one core, in one run: libgcrypt,
// by a driver in C that is compiled when it is needed; gmsm and Go's AES-GCM, in this
// process; and GNU cksum.
//
// What is measured is work for a second of CPU, of all threads of the process, the
// garbage collector's among them. A ratio is ours to the peer's: 2 is twice as fast.
// Ours and the peers take turns in rounds, and what each computes is compared before.
package bench
