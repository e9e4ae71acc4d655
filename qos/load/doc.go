// Package load produces and measures mixed load: a latency-sensitive (LS)
// HTTP service, an open-loop generator for it, best-effort (BE) CPU burners
// with a work counter, a meter that tells own from foreign CPU use, and the
// statistics of paired rounds. The demo and the benches are built from it.
//
// Each part runs until its context ends and takes a plain option struct whose
// zero value works; options and results marshal to JSON, so a parent may run
// every part in a process (and cgroup) of its own.
//
// Two rules keep the numbers honest. Work is a fixed number of loop
// iterations, calibrated once ([Calibrate]) and then passed to every process,
// so a slow node shows as longer time and not as less work. Latency runs from
// the arrival a schedule intended, not from the moment of sending, so a
// stalled service is charged for all requests that it kept waiting
// (coordinated omission, G. Tene 2013).
//
// The package is Linux only: it uses epoll, timerfd, thread CPU clocks and
// /proc.
package load
