// Package blkio isolates block IO by class: which disks a node has and by what
// means the kernel can hold best-effort IO on each (io.cost, io.max, BFQ
// weights, the throttle of cgroup v1), how much of a disk that IO may have, and
// the lines of the control files that say so.
//
// A Governor decides for one disk. It is pure: what the disk and the classes
// did comes in as an argument, with the time, and nothing is read or written.
//
// Sources in the kernel's tree: Documentation/admin-guide/cgroup-v2.rst ("IO"),
// Documentation/admin-guide/cgroup-v1/blkio-controller.rst,
// Documentation/block/stat.rst, block/blk-iocost.c, block/blk-throttle.c,
// block/bfq-cgroup.c. The baseline that is measured anew now and then follows
// BBR's probe of the least round-trip time (RFC draft-cardwell-iccrg-bbr).
package blkio
