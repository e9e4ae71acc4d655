package lab

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Far is a path between two namespaces by which every packet takes a while, through
// a program: of a kernel that has no netem.
type Far struct {
	delay atomic.Int64
	ends  [2]*os.File
}

// Names and addresses of a Far path.
const (
	FarLink   = "far0" // in both namespaces
	FarNode   = "10.79.0.1"
	FarWorld  = "10.79.0.2"
	farLength = 4096 // packets under way each way
)

// Far joins node and world by another path, with no delay yet.
func (l *Lab) Far() (*Far, error) {
	f := &Far{}
	for i, end := range []struct {
		s    *Space
		addr string
	}{{l.Node, FarNode}, {l.World, FarWorld}} {
		file, err := end.s.tun(FarLink)
		if err == nil {
			f.ends[i] = file
			err = errors.Join(end.s.address(FarLink, end.addr+"/24"), end.s.up(FarLink))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make a far path: %w", err), f.Close())
		}
	}
	go f.carry(f.ends[0], f.ends[1])
	go f.carry(f.ends[1], f.ends[0])
	return f, nil
}

// Set says how long a packet takes each way, from the next one on.
func (f *Far) Set(each time.Duration) { f.delay.Store(int64(each)) }

// Close ends the path.
func (f *Far) Close() error {
	var errs []error
	for _, e := range f.ends {
		if e != nil {
			errs = append(errs, e.Close())
		}
	}
	return errors.Join(errs...)
}

// tun makes an interface whose packets are a file's.
func (s *Space) tun(name string) (file *os.File, err error) {
	err = s.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		ifr, err := unix.NewIfreq(name)
		if err == nil {
			ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		file = os.NewFile(uintptr(fd), name)
		return nil
	})
	return file, err
}

type late struct {
	at     time.Time
	packet []byte
}

// carry moves packets one way until the path is closed. What there is no room for is
// lost.
func (f *Far) carry(from, to *os.File) {
	queue := make(chan late, farLength)
	defer close(queue)
	go func() {
		for p := range queue {
			time.Sleep(time.Until(p.at))
			_, _ = to.Write(p.packet)
		}
	}()
	for {
		b := make([]byte, 2048)
		n, err := from.Read(b)
		if err != nil {
			return
		}
		select {
		case queue <- late{time.Now().Add(time.Duration(f.delay.Load())), b[:n]}:
		default:
		}
	}
}
