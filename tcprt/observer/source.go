package observer

import (
	"errors"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/sockdiag"
)

// source is where what is observed comes from: a *tcprt.Collector, or a poller.
type source interface {
	Drain(time.Duration, func(*tcprt.Record)) error
	Services(func(tcprt.Service, *tcprt.Totals, tcprt.Owner)) error
	Settle(time.Duration, func(*tcprt.Record)) error
	Pending(func(*tcprt.Pending)) error
	SetLimit(tcprt.Service, time.Duration) error
	SetEmit(tcprt.Emit, uint32) error
	SetTier(tcprt.Tier) error
	SetSkip(uint32) error
	Tier() tcprt.Tier
	Short() error
	Stats() (tcprt.Stats, error)
	Runtime() (time.Duration, error)
	Close() error
}

// openSource opens what a Config asks for. Where tier auto cannot have BPF,
// connections are polled; where there can be no hints, requests are timed without
// them, and hints says why.
func openSource(o *Options) (s source, hints, err error) {
	if o.Tier == tcprt.SockDiag.String() {
		return poll(o, nil), nil, nil
	}
	options := o.collector(o.Root)
	c, err := tcprt.Open(options)
	var u *feature.UnsupportedError
	if err != nil && options.Hints != nil && errors.As(err, &u) {
		hints, options.Hints = err, nil
		c, err = tcprt.Open(options)
	}
	if err == nil {
		return c, hints, nil
	}
	if o.Tier == tcprt.Auto.String() && errors.As(err, &u) {
		return poll(o, err), nil, nil
	}
	return nil, nil, err
}

// poller makes a source of a sockdiag.Poller, which has no records.
type poller struct {
	*sockdiag.Poller
	short error
}

func poll(o *Options, why error) *poller {
	return &poller{Poller: sockdiag.New(sockdiag.Options{Ports: o.Ports, Root: o.Root}), short: why}
}

func (*poller) Drain(d time.Duration, _ func(*tcprt.Record)) error {
	time.Sleep(d)
	return nil
}

func (*poller) Settle(time.Duration, func(*tcprt.Record)) error { return nil }
func (*poller) Pending(func(*tcprt.Pending)) error              { return nil }
func (*poller) SetLimit(tcprt.Service, time.Duration) error     { return nil }
func (*poller) SetEmit(tcprt.Emit, uint32) error                { return nil }
func (*poller) SetTier(tcprt.Tier) error                        { return nil }
func (*poller) SetSkip(uint32) error                            { return nil }
func (*poller) Tier() tcprt.Tier                                { return tcprt.SockDiag }
func (p *poller) Short() error                                  { return p.short }
func (*poller) Stats() (tcprt.Stats, error)                     { return tcprt.Stats{}, nil }
func (*poller) Runtime() (time.Duration, error)                 { return 0, nil }
