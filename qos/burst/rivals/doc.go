// Package rivals re-creates other agents' CPU burst settings from their public documents, for side-by-side benches only. No code of theirs was copied,
// and no bench here may be quoted as a measurement of those products: what is measured is the documented policy on this kernel.
//
//   - [Boost]: Koordinator's cfsQuotaBurst (user manual "CPU Burst", NodeSLO cpuBurstStrategy): quota scaled up while throttled, down when the node is
//     busy, once a second.
//   - [VolcanoPlan]: Volcano's CPU burst on a mainline kernel (colocation manual): the default period with the largest burst the kernel takes.
package rivals
