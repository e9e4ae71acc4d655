package modsign

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// magic is MODULE_SIG_STRING of include/linux/module_signature.h.
const magic = "~Module signature appended~\n"

// trailerSize is of a struct module_signature: algo, hash, id_type, signer_len,
// key_id_len, three bytes of padding and sig_len, big-endian.
const trailerSize = 12

// pkeyIDPKCS7 is PKEY_ID_PKCS7, the only id_type that kernels take; all other bytes but
// sig_len are 0 with it.
const pkeyIDPKCS7 = 2

// Errors about files. Their text is constant.
var (
	ErrUnsigned  = errors.New("modsign: the module is not signed")
	ErrMalformed = errors.New("modsign: malformed signature behind the module")
	ErrType      = errors.New("modsign: the signature is not of PKCS #7, which is what kernels take")
	ErrSigned    = errors.New("modsign: the module is signed already: have that signature replaced (resign), or sign over it (append)")
	ErrNoModule  = errors.New("modsign: this is not a kernel module, which is of ELF")
	ErrPacked    = errors.New("modsign: the module is compressed, and its signature lies within: decompress it, sign it, compress it again")
)

// Split parts a file into a module and the PKCS #7 message behind it. Both share memory
// with the file.
func Split(file []byte) (module, message []byte, err error) {
	rest, ok := bytes.CutSuffix(file, []byte(magic))
	if !ok {
		return nil, nil, ErrUnsigned
	}
	if len(rest) < trailerSize {
		return nil, nil, ErrMalformed
	}
	rest, t := rest[:len(rest)-trailerSize], rest[len(rest)-trailerSize:]
	if t[2] != pkeyIDPKCS7 {
		return nil, nil, ErrType
	}
	size := binary.BigEndian.Uint32(t[8:])
	if t[0] != 0 || t[1] != 0 || !bytes.Equal(t[3:8], make([]byte, 5)) || size == 0 || uint64(size) >= uint64(len(rest)) {
		return nil, nil, ErrMalformed
	}
	at := len(rest) - int(size)
	return rest[:at:at], rest[at:], nil
}

// Join puts a message behind a module.
func Join(module, message []byte) []byte {
	out := make([]byte, 0, len(module)+len(message)+trailerSize+len(magic))
	out = append(append(out, module...), message...)
	out = append(out, 0, 0, pkeyIDPKCS7, 0, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len(message)))
	return append(out, magic...)
}
