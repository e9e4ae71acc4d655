// Package authenticode signs programs for UEFI and verifies their signatures: PE/COFF
// images, PE32 and PE32+, by Microsoft's "Windows Authenticode Portable Executable
// Signature Format" and UEFI 2.10, clause 32.2. Firmware takes RSA with SHA-256; SM2 with
// SM3 is the same format with those algorithms.
//
// The hash covers an image from its start to the certificate table, but for the checksum
// and the table's place in the header. Images with gaps between their sections are
// refused, since firmware does not hash what is there, and tools do. Bytes up to the next
// multiple of 8, where a table begins, are part of the image.
//
// An image may have several signatures: entries of the table, one after the other.
package authenticode
