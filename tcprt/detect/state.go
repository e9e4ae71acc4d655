package detect

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/anole-os/anole/tcprt"
)

// ErrState is wrapped when a state is not one, or is of another release. Nothing
// is taken from it then; begin anew.
var ErrState = errors.New("not a state of this release")

var order = binary.LittleEndian

type levelSaved struct {
	Ring ring
	Of   levelState
}

type serviceSaved struct {
	Service tcprt.Service
	Levels  [levels]levelSaved
	Rates   [int(Signals) - levels]rateState
	Of      serviceState
}

// header begins a Monitor's state.
type header struct {
	Magic    [8]byte
	Size     uint32 // of a service, which differs between releases that do
	Services uint32
}

var magic = [8]byte{'a', 'n', 'd', 'e', 't', 'e', 'c', '1'}

// AppendBinary implements encoding.BinaryAppender: all that it learnt.
func (l *Level) AppendBinary(b []byte) ([]byte, error) {
	return binary.Append(b, order, &levelSaved{l.base.ring, l.s})
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler, for a Level of the same
// signal and options.
func (l *Level) UnmarshalBinary(b []byte) error {
	var s levelSaved
	if err := exactly(b, &s); err != nil {
		return err
	}
	return l.load(&s)
}

// AppendBinary implements encoding.BinaryAppender: all that it learnt.
func (r *Rate) AppendBinary(b []byte) ([]byte, error) { return binary.Append(b, order, &r.s) }

// UnmarshalBinary implements encoding.BinaryUnmarshaler, for a Rate of the same
// signal and options.
func (r *Rate) UnmarshalBinary(b []byte) error { return exactly(b, &r.s) }

func exactly(b []byte, to any) error {
	if len(b) != binary.Size(to) {
		return fmt.Errorf("read detector: %d bytes, want %d: %w", len(b), binary.Size(to), ErrState)
	}
	_, err := binary.Decode(b, order, to)
	return err
}

func (l *Level) load(s *levelSaved) error {
	if s.Ring.Count > kept || s.Ring.Next >= kept {
		return fmt.Errorf("read detector: %d values: %w", s.Ring.Count, ErrState)
	}
	l.base.ring, l.s = s.Ring, s.Of
	l.base.order()
	return nil
}

// Save writes all that is known, so that a Monitor of the same options that Loads
// it goes on as if there had been no end.
func (m *Monitor) Save(to io.Writer) error {
	z, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	var s serviceSaved
	h := header{magic, uint32(binary.Size(&s)), uint32(len(m.known))}
	if err := binary.Write(z, order, &h); err != nil {
		return fmt.Errorf("write detectors: %w", err)
	}
	for v := m.head.prev; v != &m.head; v = v.prev { // the one seen last comes last
		v.save(&s)
		if err := binary.Write(z, order, &s); err != nil {
			return fmt.Errorf("write detectors: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write detectors: %w", err)
	}
	return nil
}

// Load reads what Save wrote; of more services than there is room for, those that
// were seen last. A Monitor that it gave an error for knows no service.
func (m *Monitor) Load(from io.Reader) error {
	m.clear()
	if err := m.load(from); err != nil {
		m.clear()
		return fmt.Errorf("read detectors: %w", err)
	}
	return nil
}

func (m *Monitor) load(from io.Reader) error {
	z, err := gzip.NewReader(bufio.NewReader(from))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	var h header
	var s serviceSaved
	if err := binary.Read(z, order, &h); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if h.Magic != magic || int(h.Size) != binary.Size(&s) {
		return ErrState
	}
	for range h.Services {
		if err := binary.Read(z, order, &s); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		if err := m.service(s.Service).load(&s); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, z); err != nil { // the checksum is behind it
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

func (v *service) save(s *serviceSaved) {
	s.Service, s.Of = v.key, v.s
	for i := range v.levels {
		s.Levels[i] = levelSaved{v.levels[i].base.ring, v.levels[i].s}
	}
	for i := range v.rates {
		s.Rates[i] = v.rates[i].s
	}
}

func (v *service) load(s *serviceSaved) error {
	v.s = s.Of
	v.s.Turn &= 1
	for i := range v.levels {
		if err := v.levels[i].load(&s.Levels[i]); err != nil {
			return err
		}
	}
	for i := range v.rates {
		v.rates[i].s = s.Rates[i]
	}
	return nil
}
