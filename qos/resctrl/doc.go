// Package resctrl holds work to a share of the last-level cache and of the
// memory bandwidth through the kernel's resctrl file system: Intel RDT, AMD
// PQoS and Arm MPAM. It parses what the node has, works out legal masks and
// percentages for a share, keeps tasks in groups of its own and reads what the
// groups occupy and move.
//
// Nothing but groups of its own is ever written: removing them gives every task
// back to the default group, which is where they are taken from. Tasks that
// somebody else has put into a group stay there.
//
// Source: Documentation/filesystems/resctrl.rst and fs/resctrl of the Linux
// kernel.
package resctrl
