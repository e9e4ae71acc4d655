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
// connections are polled.
func openSource(o *Options) (source, error) {
	if o.Tier == tcprt.SockDiag.String() {
		return poll(o, nil), nil
	}
	c, err := tcprt.Open(o.collector(o.Root))
	if err == nil {
		return c, nil
	}
	var u *feature.UnsupportedError
	if o.Tier == tcprt.Auto.String() && errors.As(err, &u) {
		return poll(o, err), nil
	}
	return nil, err
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
