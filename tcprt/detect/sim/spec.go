package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Fault is what goes wrong.
type Fault uint8

// The faults.
const (
	None        Fault = iota
	ServerDelay       // the server takes three times as long
	Loss              // one of 50 segments gets lost
	LongPath          // round trips take 10 ms more
	SlowReader        // clients do not read what they asked for
	Throttled         // the cgroup's CPU quota is used up in each period
	Nagle             // answers of two writes wait for a delayed acknowledgement
	Drip              // clients send their requests in parts
	Downstream        // what the server asks takes 20 ms more
	SocketQueue       // the server does not come to read
	Contention        // it waits for a CPU
	MemoryStall       // its memory is reclaimed
	DiskStall         // its disk is slow
	SendBuffer        // its send buffers are too small
	Cuts              // connections end before their answer
	Faults            // how many there are
)

// String names it.
func (f Fault) String() string {
	return [...]string{
		"none", "server-delay", "loss", "long-path", "slow-reader", "throttled", "nagle", "drip", "downstream", "socket-queue", "contention",
		"memory-stall", "disk-stall", "send-buffer", "cuts", "unknown",
	}[min(f, Faults)]
}

// Spec is a service and its day.
type Spec struct {
	Seed       uint64
	Service    tcprt.Service
	Start      time.Time
	Rate       float64       // requests a second, on average
	Processing time.Duration // the server's own time: median
	Sigma      float64       // of its logarithm
	RTT        time.Duration // of the typical client
	Request    int           // bytes
	Answer     int
	Loss       float64 // of segments, on a good day
	Failures   float64 // of requests
	// From window Onset on, the Fault; it is of this share of the requests where it
	// is of some of them.
	Fault Fault
	Onset int
	Share float64
	Lite  bool // the kernel tells neither of reads nor of an answer's last packet
	Pool  int  // how many requests windows are drawn from: 4096
}

// Random gives a service of any kind that can have the fault.
func Random(seed uint64, f Fault, onset int) Spec {
	r := rand.New(rand.NewPCG(seed, 0x51))
	logUniform := func(lo, hi float64) float64 { return lo * math.Pow(hi/lo, r.Float64()) }
	s := Spec{
		Seed: seed, Service: tcprt.Service{Role: tcprt.Server, Port: 80}, Fault: f, Onset: onset,
		Start: time.Date(2026, 1, 1, r.IntN(24), r.IntN(60), 0, 0, time.UTC),
		Rate:  logUniform(20, 2000), Processing: time.Duration(logUniform(1e6, 30e6)), Sigma: 0.3 + 0.9*r.Float64(),
		RTT: time.Duration(logUniform(0.1e6, 20e6)), Request: int(logUniform(200, 1400)), Answer: int(logUniform(300, 60_000)),
		Loss: logUniform(1e-5, 1e-3), Failures: logUniform(1e-4, 2e-3), Share: 0.4 + 0.6*r.Float64(), Pool: 1024,
	}
	switch f {
	case Loss: // of few segments a second none is lost within seconds
		s.Answer = max(s.Answer, int(200_000/s.Rate))
	case SlowReader, SendBuffer:
		s.Answer = int(logUniform(200_000, 1_000_000))
	case Nagle:
		s.Answer, s.RTT = int(logUniform(1500, 6000)), time.Duration(logUniform(0.05e6, 5e6))
	case Downstream: // a half of the time of a few is nothing that one sees
		s.Share = 0.7 + 0.3*r.Float64()
	case Drip:
		s.Request = int(logUniform(1000, 30_000))
	}
	return s
}
