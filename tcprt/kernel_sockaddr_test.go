package tcprt

import "unsafe"

// none is an address of AF_UNSPEC: a socket that connects there is disconnected.
var none [16]byte

func addressOfNone() unsafe.Pointer { return unsafe.Pointer(&none) }
