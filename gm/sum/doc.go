// Package sum hashes many files by SM3, 32 side by side, and writes and checks lists of
// such hashes as GNU coreutils 9.7 does (cksum -a sm3 --untagged and the family of md5sum).
//
// Files is the engine: each file is on a lane of sm3.Streams, to which its bytes go in pieces of
// up to 64 KiB, read straight into one buffer a lane; a lane whose file ends takes the next
// one. So memory is bounded whatever the files' sizes, nothing is read twice, and a lane
// rests only where no file is left. What is no regular file (standard input, pipes,
// devices) is read when all before it is done, and before anything after it is opened.
//
// Tool is the program: Print writes a list, Check checks lists, Main is the whole of
// sm3sum with its command line.
//
// Known differences to GNU: a line of a list of more than 64 KiB counts as improperly
// formatted, as no name can be so long; a write error has its reason; a tag with a wrong length
// (SM3-8) is refused without an effect on later lines; messages are in English only.
package sum
