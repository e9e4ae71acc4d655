package netlinkx

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

// Direction is a side of an interface.
type Direction uint32

// Directions, as the parents of filters on a clsact.
const (
	In  Direction = netlink.HANDLE_MIN_INGRESS
	Out Direction = netlink.HANDLE_MIN_EGRESS
)

// filterPrefix begins the names of anole's programs in the output of tc.
const filterPrefix = "anole-"

// first is the priority of the filters: before all others, many of which end
// the search.
const first = 1

// SetProgram puts a loaded BPF program (of type SCHED_CLS, direct action) on
// the clsact of an interface, or replaces anole's own there. Filters of another
// kind at the first place are a conflict.
func (c *Conn) SetProgram(index int, at Direction, name string, fd int) error {
	f := &netlink.BpfFilter{FilterAttrs: filterAt(index, at), Fd: fd, Name: filterPrefix + name, DirectAction: true}
	err := c.h.FilterReplace(f)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		if others, lerr := c.filters(index, at); lerr == nil && len(others) > 0 {
			return &feature.UnsupportedError{
				Feature: "network shaping", Reason: feature.Conflict, Need: "the first place among the tc filters of the interface",
				Fix: "give the other filter a priority above 1: tc filter show dev IF ingress; tc filter show dev IF egress", Err: err,
			}
		}
	}
	if err != nil {
		return fmt.Errorf("add filter %s: %w", f.Name, err)
	}
	return nil
}

func filterAt(index int, at Direction) netlink.FilterAttrs {
	return netlink.FilterAttrs{LinkIndex: index, Parent: uint32(at), Handle: Major, Protocol: unix.ETH_P_ALL, Priority: first}
}

func (c *Conn) filters(index int, at Direction) ([]netlink.Filter, error) {
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	all, err := c.h.FilterList(l, uint32(at))
	if err != nil {
		return nil, fmt.Errorf("list filters: %w", err)
	}
	return all, nil
}

// HasProgram says whether one of anole's programs is at a place.
func (c *Conn) HasProgram(index int, at Direction) (bool, error) {
	all, err := c.filters(index, at)
	for _, f := range all {
		if ours(f) {
			return true, nil
		}
	}
	return false, err
}

func ours(f netlink.Filter) bool {
	b, ok := f.(*netlink.BpfFilter)
	return ok && b.Handle == Major && b.Priority == first && strings.HasPrefix(b.Name, filterPrefix)
}

// ClearPrograms removes anole's programs from both directions and says how
// many filters of others are left.
func (c *Conn) ClearPrograms(index int) (others int, err error) {
	for _, at := range []Direction{In, Out} {
		all, err := c.filters(index, at)
		if err != nil {
			return others, err
		}
		for _, f := range all {
			if !ours(f) {
				others++
				continue
			}
			f := &netlink.BpfFilter{FilterAttrs: filterAt(index, at)}
			if err := c.h.FilterDel(f); err != nil {
				return others, fmt.Errorf("remove filter: %w", err)
			}
		}
	}
	return others, nil
}
