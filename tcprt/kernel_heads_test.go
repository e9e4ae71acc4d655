package tcprt

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// heads is what Options.Hints was given, put into the Hint.
func heads(r *Record, request, answer []byte) {
	r.Hint.Route, r.Hint.Status = string(request), string(answer)
}

// What is read of a request and of its answer is what was sent, on both sides, of
// each turn, in whatever pieces it came.
func TestKernelHeads(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			port := listen(t, addr, func(c *net.TCPConn) {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if strings.HasPrefix(line, "slow") {
						time.Sleep(pause)
					}
					for _, s := range []string{"answer ", "to ", line, strings.Repeat("y", len(line)*100)} {
						_, _ = io.WriteString(c, s)
					}
					_, _ = io.WriteString(c, "\n")
				}
			})
			k := collect(t, Options{Ports: []uint16{port.Port()}, Hints: heads})
			const clients, turns = 3, 40
			var want []string
			for i := range clients {
				c := dial(t, port)
				in := bufio.NewReader(c)
				for j := range turns {
					line := fmt.Sprintf("%d/%d %s\n", i, j, strings.Repeat("x", j*20))
					for rest := line; rest != ""; { // in pieces, for some
						n := len(rest)
						if j%3 == 1 {
							n = min(n, 30)
						}
						_, _ = io.WriteString(c, rest[:n])
						rest = rest[n:]
					}
					for range 2 {
						if _, err := in.ReadString('\n'); err != nil {
							t.Fatal(err)
						}
					}
					want = append(want, line)
				}
				_ = c.Close()
			}
			for _, role := range []Role{Server, Client} {
				got := map[string]string{}
				for _, r := range k.of(role, clients*turns) {
					got[r.Hint.Route] = r.Hint.Status
				}
				for _, line := range want {
					answer := "answer to " + line + strings.Repeat("y", len(line)*100)
					if got[line[:min(len(line), 256)]] != answer[:64] {
						t.Errorf("%s: of %q came %q", role, line, got[line[:min(len(line), 256)]])
					}
				}
			}
			c := dial(t, port)
			_, _ = io.WriteString(c, "slow one\n")
			time.Sleep(pause / 2)
			for role, p := range k.pending() {
				if len(p) != 1 || p[0].Hint.Route != "slow one\n" || p[0].Hint.Status != "" {
					t.Errorf("%s: under way: %+v", role, p)
				}
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
		})
	}
}
