package tcprt

import (
	"os"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
)

// A server that reads and writes by io_uring is one like any other.
func TestKernelIOURing(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		ring, err := sys.NewIOURing()
		if err != nil {
			testkit.Need(t, &feature.UnsupportedError{Feature: "io_uring", Reason: feature.NoKernel, Need: "a kernel with it, kernel.io_uring_disabled=0 and a seccomp filter that lets it", Err: err})
		}
		defer ring.Close()
		s := stage(t, tier)
		client, server := s.connect()
		file, err := server.File() // which does not wait in the runtime's poller
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		fd := int(file.Fd())
		const turns = 20
		for i := range turns {
			send(t, client, 30)
			if n, err := ring.Do(sys.IOURingRecv, fd, make([]byte, 100)); n != 30 || err != nil {
				t.Fatal(n, err)
			}
			if n, err := ring.Do(sys.IOURingSend, fd, make([]byte, 100+i)); n != 100+i || err != nil {
				t.Fatal(n, err)
			}
			read(t, client, 100+i)
		}
		_ = client.Close()
		_ = file.Close()
		_ = server.Close()
		for _, role := range []Role{Server, Client} {
			for i, r := range s.of(role, turns) {
				if !r.Complete() || r.RequestBytes != 30 || r.AnswerBytes != uint32(100+i) {
					t.Errorf("%s %d: %+v", role, i, r)
				}
				if tier == Full && role == Server && (r.Read == 0 || r.PID != uint32(os.Getpid())) {
					t.Errorf("who read it is not known: %+v", r)
				}
			}
		}
	})
}
