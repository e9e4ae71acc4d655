// Package qos lets latency-sensitive and best-effort work share a node. It
// classes the workloads it finds, makes best-effort work yield the CPU by the
// best means the kernel has, holds it to what latency-sensitive work leaves in
// a loop of 50 to 100 ms, and gives groups with a CPU limit a bank of unused
// quota (CPU Burst) so that a short burst is not throttled.
//
// An Engine reads and writes the kernel's control files through a journal:
// Close, or the next start after a kill, puts every byte back.
package qos
