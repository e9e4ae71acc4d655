package pcapng

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
)

// Of what tcpdump captured, the packets of the kernel's records are found, each
// request with its note, and tshark reads them where it is there.
func TestKernelCapture(t *testing.T) {
	testkit.NeedRoot(t)
	tcpdump := testkit.NeedTool(t, "tcpdump")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{uint16(port)}, Roles: []tcprt.Role{tcprt.Server}})
	testkit.Need(t, err)
	defer c.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.pcap")
	cmd := exec.Command(tcpdump, "-i", "lo", "-s", "128", "--immediate-mode", "-U", "-w", path, "-Z", "root", fmt.Sprintf("tcp port %d or tcp port 9", port))
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	for text := ""; !strings.Contains(text, "listening on"); {
		b := make([]byte, 256)
		n, err := said.Read(b)
		if text += string(b[:n]); err != nil {
			t.Fatalf("%s, %v", text, err)
		}
	}
	const turns = 20
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * ms) // so that the handshake is of no request
	for i := range turns {
		_, _ = conn.Write(make([]byte, 10+i))
		if _, err := io.ReadFull(conn, make([]byte, 10+i)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * ms)
	}
	_ = conn.Close()
	time.Sleep(500 * ms) // tcpdump takes packets in blocks
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	offset, err := tcprt.ClockOffset()
	if err != nil {
		t.Fatal(err)
	}
	var n Notes
	if err := c.Drain(0, func(r *tcprt.Record) {
		if err := n.Add(r, "echo", offset); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	res, err := n.Filter(&out, bytes.NewReader(b))
	if err != nil || res.Noted != turns || res.Kept < 2*turns || res.Kept >= res.Packets {
		t.Fatalf("%+v, %v", res, err)
	}
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		return // the notes were read back by another reader, see TestFilter
	}
	notes := filepath.Join(dir, "x.pcapng")
	if err := os.WriteFile(notes, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(tshark, "-r", notes, "-Y", "frame.comment", "-T", "fields", "-e", "frame.comment").Output()
	if err != nil || strings.Count(string(text), "echo (server), request ") != turns {
		t.Errorf("tshark reads %s, %v", text, err)
	}
}
