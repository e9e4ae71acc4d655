package enforce

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// metadataSize is of struct fanotify_event_metadata, linux/fanotify.h.
const metadataSize = 24

// event is one that the kernel wants an answer to.
type event struct {
	fd   int
	pid  int
	exec bool
}

var errEvent = errors.New("the kernel's events are not of the kind that is known here")

// parse reads the kernel's events, without those that need no answer.
func parse(b []byte) (events []event, err error) {
	order := binary.NativeEndian
	for len(b) > 0 {
		if len(b) < metadataSize {
			return events, errEvent
		}
		n, version, mask := order.Uint32(b), b[4], order.Uint64(b[8:])
		if n < metadataSize || uint64(n) > uint64(len(b)) || version != unix.FANOTIFY_METADATA_VERSION {
			return events, errEvent
		}
		fd := int(int32(order.Uint32(b[16:])))
		if fd >= 0 {
			events = append(events, event{fd, int(int32(order.Uint32(b[20:]))), mask&unix.FAN_OPEN_EXEC_PERM != 0})
		}
		b = b[n:]
	}
	return events, nil
}

// response is struct fanotify_response.
func response(fd int, allow bool) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(int32(fd)))
	if allow {
		return binary.NativeEndian.AppendUint32(b, unix.FAN_ALLOW)
	}
	return binary.NativeEndian.AppendUint32(b, unix.FAN_DENY)
}
