package shape

import (
	"strconv"

	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/qos/shape/bpf"
)

// Class is whose packet it is.
type Class uint8

// Classes. Rest is neither of the others and what nobody knows.
const (
	Rest = Class(bpf.ShapeShapeREST)
	LS   = Class(bpf.ShapeShapeLS)
	BE   = Class(bpf.ShapeShapeBE)

	classes = int(bpf.ShapeShapeCLASSES)
)

// Classes lists them.
func Classes() []Class { return []Class{LS, BE, Rest} }

// String gives LS, BE or REST.
func (c Class) String() string { return [...]string{"REST", "LS", "BE"}[c] }

// minor is that of the class's HTB class a0e:x, in hex 10, 20 and 30. The
// program that classifies knows the first two.
func (c Class) minor() uint16 { return [...]uint16{0x30, 0x10, 0x20}[c] }

// ClassID gives what net_cls.classid of a v1 cgroup is to hold for its sockets to
// be of the class; Rest has none.
func (c Class) ClassID() string {
	if c == Rest {
		return "0"
	}
	return strconv.FormatUint(uint64(netlinkx.Handle(c.minor())), 10)
}

// Direction is the way of a packet on an interface.
type Direction uint8

// Directions.
const (
	Out = Direction(bpf.ShapeShapeOUT)
	In  = Direction(bpf.ShapeShapeIN)
)

// String gives "out" or "in".
func (d Direction) String() string { return [...]string{"out", "in"}[d] }
