// Package ca is a small certificate authority in a folder.
//
//	ca.json            what it is: format, signers' identity, where lists are published
//	root.crt root.key  the root; the key is of PKCS#8, under a password or not
//	intermediate.*     the CA that issues, where there is one; then root.key may be taken
//	                   away until another intermediate or the root's list is due
//	escrow.*           a key that opens the keys of encryption that were kept
//	profiles.json      what certificates are made: may be edited
//	index              what was issued, revoked and listed, one line for each
//	head               how far the index is
//	crl/               the newest lists
//	lock               held while something is written
//
// The index only grows. A line is 16 hexadecimal digits, a space and a JSON value; the
// digits are the first eight bytes of SM3 over the last line's digits and the value, so
// that no line can be changed or taken out unseen. A certificate is in the index, and the
// index on the disk, before anyone gets it: a process that is killed leaves at most a line
// without its end, which is as if nothing had been asked for and which the next one cuts
// off.
//
// That the last lines are there is told by the head: lines, bytes, last sum and lists'
// numbers, written and on the disk after each line. One that is killed between the two
// leaves an index that is a line ahead, with which the next one goes on; an index that is
// behind its head, or not what grew from it, is an error (ErrRollback), and so is a list
// that would not follow the one in crl. Where all of the folder is an older copy nothing
// in it can tell: copy the newest list that was published to crl before a backup is used.
// Serial numbers are of 128 random bits, and none is given twice.
package ca
