// Package enforce lets programs run only where their label in security.ima is good, on
// kernels that have no SM2 and SM3 themselves: fanotify(7) asks it before each execution
// (FAN_OPEN_EXEC_PERM), and where Options.Opens says so before each opening of an ELF
// file, which is how shared libraries come in.
//
// What it is not: the kernel's own appraisal. It guards against what is on a disk, and
// not against root: whoever may kill it, or unmount and mount, is past it. When it ends,
// be it by SIGKILL, the kernel lets all go on that waits and asks nobody from then on.
// Scripts that are given to an interpreter as an argument are not executed in the
// kernel's sense; of those that are, by their first line, the script is asked about and
// the interpreter too. Between the answer and the moment from which the kernel lets
// nobody write to the program there are some microseconds in which somebody who may
// write to it can.
//
// A process that has an Enforcer must not itself start programs that it is asked about:
// a thread that starts one stands still until that is answered, and with it, at the
// garbage collector's next turn, all others that would answer.
package enforce
