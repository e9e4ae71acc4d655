// Package luks2 reads and writes containers of LUKS2 with SM4: the header, its key slots
// and, in user space, the sectors of the volume. It is written from the "LUKS2 On-Disk
// Format Specification", version 1.1.
//
// What is made here is sm4-xts-plain64 with SM3 in the key slots, as a kernel with SM4
// takes it. Containers of cryptsetup with aes-xts-plain64 are read too. Neither needs a
// kernel that has the cipher, nor device mapper, nor root.
//
// A change of the header goes to its first copy and, when that is on the disk, to the
// second: killed at any moment, one of them is whole, and that with the higher number
// counts.
package luks2
