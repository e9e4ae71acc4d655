package shape_test

import (
	"testing"

	"github.com/anole-os/anole/qos/shape"
)

func TestParseRate(t *testing.T) {
	for s, want := range map[string]shape.Rate{
		"1Mbit": 1e6, "10Gbit": 10e9, "2.5Gbit": 25e8, "500mbit": 500e6, "1500000bit": 15e5, "100Tbit": 100e12, "0.5 Gbit": 0, "": 0, "10": 0,
		"1e3Mbit": 0, "+1Gbit": 0, "999kbit": 0, "101Tbit": 0, "Gbit": 0, "1.2.3Gbit": 0, "InfGbit": 0,
	} {
		got, err := shape.ParseRate(s)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"10Gbit", "2.5Gbit", "1000001bit", "99999999999999bit", "0x1p9Mbit"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := shape.ParseRate(s)
		if err != nil {
			return
		}
		if r < 1e6 || r > 100e12 {
			t.Fatalf("%q is %d", s, r)
		}
		if again, err := shape.ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("%q is %d, written %q, read %d, %v", s, r, r, again, err)
		}
	})
}

func TestLinkCheck(t *testing.T) {
	good := shape.Link{Name: "eth0", Out: 1e9, LS: 0.7, BE: 0.1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(*shape.Link){
		func(l *shape.Link) { l.Name = "" },
		func(l *shape.Link) { l.Out = 0 },
		func(l *shape.Link) { l.LS = 0 },
		func(l *shape.Link) { l.BE = 0.3 },
		func(l *shape.Link) { l.LS = -1 },
	} {
		bad := good
		spoil(&bad)
		if bad.Check() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}
