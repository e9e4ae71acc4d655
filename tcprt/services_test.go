package tcprt

import (
	"testing"

	"github.com/anole-os/anole/tcprt/bpf"
)

// Counters of the kernel's side go round; what is added up of them does not.
func TestSlotAddsWhatCame(t *testing.T) {
	var e slot
	each := make([]bpf.TcprtCount, 2)
	each[0].Requests, each[1].Requests = 1<<64-5, 3
	each[0].Buckets[Upload][7], each[1].Buckets[Upload][7] = 1<<32-2, 1
	e.add(each, 1)
	before := e.totals
	each[1].Requests += 10
	each[1].Buckets[Upload][7] += 10
	each[0].Chrono = [3]uint64{1, 2, 3}
	if !e.add(each, 4) || e.add(each, 4) {
		t.Error("it does not tell whether anything came")
	}
	e.totals.Sub(&before)
	if got := &e.totals; got.Requests != 10 || got.Phases[Upload].Counts[7] != 10 || got.Busy != 24 || got.WindowLimited != 8 || got.BufferLimited != 12 {
		t.Errorf("%+v", got)
	}
}

// The kernel's side and this one name the same flags and phases.
func TestKernelAgreesOnNames(t *testing.T) {
	for _, c := range []struct{ kernel, here uint64 }{
		{uint64(bpf.TcprtShapeSERVER), uint64(Server)}, {uint64(bpf.TcprtShapeCLIENT), uint64(Client)},
		{uint64(bpf.TcprtShapeOVERLAP), uint64(Overlap)}, {uint64(bpf.TcprtShapePIGGYBACK), uint64(Piggyback)},
		{uint64(bpf.TcprtShapeABORT_REQ), uint64(AbortedRequest)}, {uint64(bpf.TcprtShapeABORT_ANSWER), uint64(AbortedAnswer)},
		{uint64(bpf.TcprtShapeCLOSED), uint64(Closed)}, {uint64(bpf.TcprtShapeMIDWAY), uint64(Midway)},
		{uint64(bpf.TcprtShapeGUESSED), uint64(Guessed)}, {uint64(bpf.TcprtShapeREORDER), uint64(Reordered)},
		{uint64(bpf.TcprtShapeHALF_CLOSED), uint64(HalfClosed)}, {uint64(bpf.TcprtShapeZERO_WINDOW), uint64(ZeroWindow)},
		{uint64(bpf.TcprtShapeNO_DELAY), uint64(NoDelay)}, {uint64(bpf.TcprtShapeDELAYED_ACK), uint64(DelayedAck)},
		{uint64(bpf.TcprtShapeONE_WAY), uint64(OneWay)}, {uint64(bpf.TcprtShapeTOTAL), uint64(Phases)},
		{uint64(bpf.TcprtShapeUPLOAD), uint64(Upload)}, {uint64(bpf.TcprtShapeQUEUE), uint64(Queue)},
		{uint64(bpf.TcprtShapePROCESSING), uint64(Processing)}, {uint64(bpf.TcprtShapeSEND), uint64(Send)}, {uint64(bpf.TcprtShapeDELIVERY), uint64(Delivery)},
	} {
		if c.kernel != c.here {
			t.Errorf("%d is %d there", c.here, c.kernel)
		}
	}
	if Buckets > bpf.TcprtShapeBUCKETS {
		t.Error("there are fewer buckets there")
	}
}
