// Package rng is a random bit generator as GM/T 0105-2021 describes it: a deterministic
// generator on SM3 (its Hash_DRBG, clause 9), seeded from the kernel, with health tests of
// what the kernel gives.
//
// Reader is the process' own. Any number of goroutines may read from it: it is several
// generators, each with a lock and a seed of its own, of which a reader takes a free one.
//
// # Seeds
//
// A generator is seeded anew after 1,024 blocks of 32 bytes and after 60 seconds, which
// are the figures of the standard's level two. The source, getrandom(2), is taken to have one bit
// of entropy a byte though it has eight, so a seed takes 256 bytes of it and a nonce 128:
// the health tests can then be so lenient that a sound source never fails them (once
// in 2^160 bytes), and still see one that is stuck or that repeats itself.
//
// # Forks and restored machines
//
// Two processes or machines that were one must not go on with the same numbers. A page
// that the kernel wipes on fork (MADV_WIPEONFORK) tells of a fork, not of a virtual
// machine that was restored twice from one snapshot; the number that tells of that
// (vmgenid) is the kernel's and cannot be read from here. So nothing is detected: 32 fresh
// bytes from the kernel, which minds forks and, since Linux 5.18 and on a machine that
// has a vmgenid, restored snapshots, go into each request as additional input, and into
// each 4 KiB of long ones. Whoever has a copy of the state cannot tell what is drawn
// afterwards.
//
// # Health
//
// Everything that comes from the source passes the repetition count test and the
// adaptive proportion test (GM/T 0105 appendix D, SP 800-90B 4.4.1 and 4.4.2), and does so
// for 1,024 bytes, which are then thrown away, before a generator starts. Before that the
// generator itself is tested with a known answer. Where any of that fails, or
// the kernel gives an error, all generators are wiped and each Read gives ErrState until
// Restart succeeds; Err tells why.
package rng
