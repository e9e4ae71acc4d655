// Package cpi counts the cycles and the instructions of cgroups by the CPUs'
// performance counters. Their quotient, cycles per instruction, rises when
// somebody else takes the cache or the memory bus away, whatever the program
// does meanwhile, which makes it a signal of interference that needs no help of
// the program (Zhang et al., CPI²: CPU performance isolation for shared compute
// clusters, EuroSys 2013).
//
// One group of two counters is opened for each cgroup on each CPU; a look costs
// one read for each. Counting itself costs the kernel a few counter accesses
// whenever a CPU changes from one cgroup to another.
//
// Source: perf_event_open(2).
package cpi
