// Package trt reads and writes recordings of TCP requests, files named .trt.
//
// A file is a header and frames. All numbers are little endian.
//
//	header  "ANOLETRT", version u16 (1), zero u16, length u32, CRC-32C u32 of what
//	        follows, then a Header in JSON
//	frame   "TRTF", kind u8, zero [3], raw length u32, length u32, CRC-32C u32 of the
//	        frame's head before it and of what follows, then zstd (RFC 8878)
//
// A frame stands for itself: of a file that was cut off, or damaged in the middle, all
// other frames are read. Frames of kind 1 have records, of kind 2 the names of
// services, in JSON, of kind 3 how many records were lost until then for want of room,
// a varint. Those of other kinds are passed over.
//
// Records are in the order that they were told in. The block begins with their
// number; each is a row of varints (encoding/binary): a connection, which a row
// describes when it is the first of it in the block, then times as differences, so
// that a record takes some ten to twenty bytes.
package trt
