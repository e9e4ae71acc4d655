// Package fault breaks a node under the agent's hands, on the real kernel: it
// kills the process at random moments, makes writes fail, takes privileges and
// file systems away, and checks that the rest goes on and the node is put back.
package fault
