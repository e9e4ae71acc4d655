package qos

import (
	"strings"
	"testing"

	"github.com/anole-os/anole/qos/shape"
)

func TestNetPolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(`version: 1
net:
  use: htb
  ls: 0.5
  interfaces:
    eth0: {rate: 10Gbit}
    eth1: {ls: 0.8, ingress: 5Gbit, replace: true}
    bond0: {rate: 25Gbit, ingress: off}
`), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []shape.Link{
		{Name: "bond0", Out: 25e9, LS: 0.5, BE: 0.1},
		{Name: "eth0", Out: 10e9, In: 10e9, LS: 0.5, BE: 0.1},
		{Name: "eth1", Out: 1e9, In: 5e9, LS: 0.8, BE: 0.1, Replace: true},
	} {
		if got := p.Net.link(want.Name, 1e9); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	if q := DefaultPolicy(); q.Net.on() {
		t.Error("without a named interface nothing is to be touched")
	}
}

func TestNetPolicyMistakes(t *testing.T) {
	for _, c := range []struct{ net, want string }{
		{"use: tbf", "p.yaml:3"},
		{"interfaces: {eth0: {rate: 10}}", `"10"`},
		{"interfaces: {eth0: {rate: 10kbit}}", "between 1Mbit"},
		{"interfaces: {eth0: {rate: -1Gbit}}", "wants a rate"},
		{"interfaces: {eth0: {rate: NaNGbit}}", "wants a rate"},
		{"interfaces: {eth0: {rat: 10Gbit}}", `did you mean "rate"`},
		{"interfaces: {eth0: {ingress: on}}", "net.interfaces.eth0.ingress"},
		{"interfaces: {../x: {rate: 10Gbit}}", "no name of an interface"},
		{"interfaces: {abcdefghijklmnop: {rate: 10Gbit}}", "no name of an interface"},
		{"ls: 1", "net.ls"},
		{"{ls: 0.9, be: 0.1}", "net.ls"},
		{"interfaces: {eth0: {ls: 0.95}}", "net.interfaces.eth0.ls"},
	} {
		src := "version: 1\nnet:\n  " + c.net
		if strings.HasPrefix(c.net, "{") {
			src = "version: 1\nnet: " + c.net
		}
		_, err := ParsePolicy([]byte(src), "p.yaml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.net, err, c.want)
		}
	}
}
