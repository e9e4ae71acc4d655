package authenticode

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/cms"
)

// Errors about images. Their text is constant.
var (
	ErrNoImage   = errors.New("authenticode: this is not a PE image")
	ErrMalformed = errors.New("authenticode: malformed PE image")
	ErrLayout    = errors.New("authenticode: the image's sections overlap or have gaps between them, which firmware and tools hash differently")
	ErrTable     = errors.New("authenticode: malformed certificate table, or it is not at the end of the image")
	ErrNoRoom    = errors.New("authenticode: the image's header has no place for a certificate table")
	ErrSize      = errors.New("authenticode: the image is larger than 1 GiB")
)

// MaxSize bounds what an image may be, in bytes.
const MaxSize = 1 << 30

// maxEntries bounds a certificate table.
const maxEntries = 64

// Offsets in the headers of "Microsoft PE and COFF Specification", clauses 3 and 4.
const (
	coffSize      = 20
	sectionSize   = 40
	headersAt     = 60 // SizeOfHeaders, from the optional header on, as the next
	checksumAt    = 64
	certificates  = 4 // the table's number among the data directories
	directorySize = 8
)

// image is a PE file, its length padded to a multiple of 8.
type image struct {
	raw       []byte
	checksum  int // where its four bytes are
	directory int // where the table's place is, 0 without
	end       int // of what is hashed; there the table begins
	entries   []entry
}

// entry is a WIN_CERTIFICATE.
type entry struct {
	kind uint16
	data []byte
}

func (e entry) isPKCS() bool { return e.kind == winCertPKCS }

// Of winbase.h, and UEFI 2.10, clause 32.2.4.
const (
	winCertRevision = 0x0200
	winCertPKCS     = 0x0002
)

var le = binary.LittleEndian

// parse reads an image. It does not change the file, nor keep more than its memory.
func parse(file []byte) (*image, error) {
	if len(file) > MaxSize {
		return nil, ErrSize
	}
	if len(file) < 64 || file[0] != 'M' || file[1] != 'Z' {
		return nil, ErrNoImage
	}
	at := int64(le.Uint32(file[60:]))
	if at+4+coffSize+checksumAt+4 > int64(len(file)) || string(file[at:at+4]) != "PE\x00\x00" {
		return nil, ErrNoImage
	}
	coff := int(at) + 4
	optional := coff + coffSize
	size := int(le.Uint16(file[coff+16:]))
	table := optional + size
	if table > len(file) || size < checksumAt+4 {
		return nil, ErrMalformed
	}
	i := &image{raw: file, checksum: optional + checksumAt}
	if err := i.findDirectory(optional, size); err != nil {
		return nil, err
	}
	if err := i.readTable(); err != nil {
		return nil, err
	}
	sections := int(le.Uint16(file[coff+2:]))
	headers := int64(le.Uint32(file[optional+headersAt:]))
	if int64(table)+int64(sections)*sectionSize > headers || headers > int64(i.end) {
		return nil, ErrMalformed
	}
	if err := i.layout(table, sections, headers); err != nil {
		return nil, err
	}
	if n := len(file) % 8; i.entries == nil && n > 0 {
		i.raw = append(bytes.Clone(file), make([]byte, 8-n)...)
		i.end = len(i.raw)
	}
	return i, nil
}

// findDirectory finds the place of the certificate table's address and size.
func (i *image) findDirectory(optional, size int) error {
	var first int
	switch le.Uint16(i.raw[optional:]) {
	case 0x10b:
		first = 96
	case 0x20b:
		first = 112
	default:
		return ErrMalformed
	}
	if size < first {
		return ErrMalformed
	}
	if le.Uint32(i.raw[optional+first-4:]) > certificates && size >= first+(certificates+1)*directorySize {
		i.directory = optional + first + certificates*directorySize
	}
	return nil
}

// readTable reads the certificate table, which must be what the image ends with.
func (i *image) readTable() error {
	i.end = len(i.raw)
	if i.directory == 0 {
		return nil
	}
	at, size := int64(le.Uint32(i.raw[i.directory:])), int64(le.Uint32(i.raw[i.directory+4:]))
	if at == 0 && size == 0 {
		return nil
	}
	if at < int64(i.directory+directorySize) || at%8 != 0 || size < 8 || at+size != int64(len(i.raw)) {
		return ErrTable
	}
	i.end = int(at)
	i.entries = []entry{}
	for in := i.raw[at:]; len(in) > 0; {
		if len(in) < 8 || len(i.entries) == maxEntries {
			return ErrTable
		}
		n := int64(le.Uint32(in))
		if n < 8 || n > int64(len(in)) || le.Uint16(in[4:]) != winCertRevision {
			return ErrTable
		}
		e := entry{le.Uint16(in[6:]), in[8:n]}
		if e.isPKCS() {
			e.data = unpadded(e.data)
		}
		i.entries = append(i.entries, e)
		in = in[min(int64(len(in)), (n+7)&^7):]
	}
	return nil
}

// unpadded takes off what some tools put behind a message to fill its entry.
func unpadded(data []byte) []byte {
	in := cryptobyte.String(data)
	var element cryptobyte.String
	if in.ReadASN1Element(&element, asn1.SEQUENCE) && len(in) < 8 && len(bytes.Trim(in, "\x00")) == 0 {
		return element
	}
	return data
}

// layout holds sections to what makes all ways to hash an image one: they follow the
// headers and each other.
func (i *image) layout(table, n int, headers int64) error {
	type section struct{ at, size int64 }
	var all []section
	for k := range n {
		h := i.raw[table+k*sectionSize:]
		if s := (section{int64(le.Uint32(h[20:])), int64(le.Uint32(h[16:]))}); s.size > 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b section) int { return cmp.Compare(a.at, b.at) })
	for _, s := range all {
		if s.at != headers {
			return ErrLayout
		}
		headers += s.size
	}
	if headers > int64(i.end) {
		return ErrMalformed
	}
	return nil
}

// hash is the image's.
func (i *image) hash(h cms.Hash) []byte {
	sum := h.New()
	sum.Write(i.raw[:i.checksum])
	rest := i.checksum + 4
	if i.directory > 0 {
		sum.Write(i.raw[rest:i.directory])
		rest = i.directory + directorySize
	}
	sum.Write(i.raw[rest:i.end])
	return sum.Sum(nil)
}

// bytes makes a file of the image with those entries.
func (i *image) bytes() []byte {
	out := bytes.Clone(i.raw[:i.end])
	for _, e := range i.entries {
		size := (8 + len(e.data) + 7) &^ 7
		out = le.AppendUint32(out, uint32(size))
		out = le.AppendUint16(out, winCertRevision)
		out = le.AppendUint16(out, e.kind)
		out = append(out, e.data...)
		out = append(out, make([]byte, size-8-len(e.data))...)
	}
	if i.directory > 0 {
		place := out[i.directory:]
		le.PutUint32(place, 0)
		le.PutUint32(place[4:], 0)
		if len(i.entries) > 0 {
			le.PutUint32(place, uint32(i.end))
			le.PutUint32(place[4:], uint32(len(out)-i.end))
		}
	}
	le.PutUint32(out[i.checksum:], 0)
	le.PutUint32(out[i.checksum:], checksum(out))
	return out
}

// checksum is that of an image, as the header has it, whose own is 0 meanwhile: the words
// of 16 bits added up, with what is carried over, and the length.
func checksum(b []byte) uint32 {
	var sum uint64
	for k := 0; k+1 < len(b); k += 2 {
		sum += uint64(le.Uint16(b[k:]))
	}
	if len(b)%2 == 1 {
		sum += uint64(b[len(b)-1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint32(sum) + uint32(len(b))
}
