package shape

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/netlinkx"
)

// SetGroup puts the sockets of a cgroup into a class, those of cgroups below
// it too unless they have one of their own. id is the inode of its directory in
// the cgroup2 hierarchy. It writes only what changed.
func (s *Shaper) SetGroup(id uint64, c Class) error {
	if now, ok := s.groups[id]; ok && now == c {
		return nil
	}
	if err := s.coll.Maps["groups"].Put(id, uint8(c)); err != nil {
		return fmt.Errorf("set class of cgroup %d: %w", id, err)
	}
	s.groups[id] = c
	return nil
}

// ClearGroup undoes SetGroup.
func (s *Shaper) ClearGroup(id uint64) error {
	if _, ok := s.groups[id]; !ok {
		return nil
	}
	delete(s.groups, id)
	if err := s.coll.Maps["groups"].Delete(id); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("clear class of cgroup %d: %w", id, err)
	}
	return nil
}

// SetPort puts what comes from an interface into a class: the host's end of a
// container's veth pair. A port of a bridge is given a program that marks the
// packets, which ClearPort and the journal undo. An interface that is gone is
// no error.
func (s *Shaper) SetPort(l netlinkx.Link, c Class) error {
	p := s.ports[l.Index]
	if p == nil {
		p = &port{class: Rest}
	}
	if p.class != c || s.ports[l.Index] == nil {
		if err := s.coll.Maps["ports"].Put(uint32(l.Index), uint8(c)); err != nil {
			return fmt.Errorf("set class of port %s: %w", l.Name, err)
		}
		p.class = c
		s.ports[l.Index] = p
	}
	if l.Master == 0 || p.marked || c == Rest {
		return nil
	}
	if err := s.mark(l, p); err != nil && !netlinkx.Gone(err) {
		return err
	}
	return nil
}

// mark puts the marking program on a bridge's port.
func (s *Shaper) mark(l netlinkx.Link, p *port) error {
	kind, err := s.c.Clsact(l.Index)
	if err != nil {
		return err
	}
	if kind == "ingress" {
		return &feature.UnsupportedError{
			Feature: "network class of " + l.Name, Reason: feature.Conflict, Need: "a clsact qdisc, or none",
			Fix: "replace the ingress qdisc: tc qdisc replace dev " + l.Name + " clsact",
		}
	}
	b := &netlinkx.Before{Name: l.Name, Index: l.Index, Netns: s.c.Netns()}
	if err := s.beforeFilters(l, b); err != nil {
		return err
	}
	if p.entry, err = s.note(b); err != nil {
		return err
	}
	p.marked = true
	if kind == "" {
		err = s.c.AddClsact(l.Index)
	}
	if err == nil {
		err = s.c.SetProgram(l.Index, netlinkx.In, "port", s.coll.Programs["port"].FD())
	}
	if err != nil {
		uerr := s.undo(&p.entry)
		p.marked = uerr != nil
		return errors.Join(fmt.Errorf("mark port %s: %w", l.Name, err), uerr)
	}
	return nil
}

// ClearPort undoes SetPort.
func (s *Shaper) ClearPort(index int) error {
	p := s.ports[index]
	if p == nil {
		return nil
	}
	if p.marked {
		if err := s.undo(&p.entry); err != nil {
			return err
		}
	}
	delete(s.ports, index)
	if err := s.coll.Maps["ports"].Delete(uint32(index)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("clear class of port %d: %w", index, err)
	}
	return nil
}

// HostEnds finds the interfaces among links, those of the Conn's namespace,
// that lead to the network namespace of a process: the host's ends of a
// container's veth pairs. There are none for a process of the same namespace. A
// process that ended is fs.ErrNotExist.
func HostEnds(c *netlinkx.Conn, links []netlinkx.Link, pid int) ([]netlinkx.Link, error) {
	id, err := c.PeerID(pid)
	if err != nil || id < 0 {
		return nil, err
	}
	var out []netlinkx.Link
	for _, l := range links {
		if l.Peer == id && l.Type == "veth" {
			out = append(out, l)
		}
	}
	return out, nil
}
