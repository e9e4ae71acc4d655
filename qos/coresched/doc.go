// Package coresched keeps threads of different groups off the siblings of one
// core by the kernel's core scheduling: on a core with SMT only threads with the
// same cookie run at the same time, and a thread without one shares its core
// only with others that have none. A sibling that finds no fitting thread idles,
// which is the price.
//
// Threads inherit the cookie from the one that starts them, processes too, so
// that only those that come into a group from outside need looking for.
//
// Source: Documentation/admin-guide/hw-vuln/core-scheduling.rst and
// kernel/sched/core_sched.c of the Linux kernel (5.14, CONFIG_SCHED_CORE).
package coresched
