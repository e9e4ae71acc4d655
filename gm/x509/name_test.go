package x509

import (
	"crypto/rand"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for in, want := range map[string]string{
		"CN=a":                           "CN=a",
		" C=CN , O=变色龙, cn = a.example ": "CN=a.example,O=变色龙,C=CN",
		`CN=a\, b,DC=example`:            `DC=example,CN=a\, b`,
		`CN=a=b`:                         "CN=a=b",
	} {
		n, err := ParseName(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		c := template("x")
		c.Subject = n
		if got := Name(n); got != want {
			t.Errorf("%q: %q", in, got)
		}
		if got := Name(sign(t, c, newKey(t), nil, "").cert.Subject); got != want {
			t.Errorf("%q: read back as %q", in, got)
		}
	}
	for _, in := range []string{"", ",", "CN", "CN=", "X=1", "C=CHN", "CN=\xff", "CN=" + strings.Repeat("a", 257)} {
		if _, err := ParseName(in); err == nil {
			t.Errorf("%q: taken", in)
		}
	}
}

func TestParseNames(t *testing.T) {
	n, err := ParseNames([]string{"a.example", "DNS:*.b.example", "10.0.0.1", "IP:fe80::1", "a@example.com", "https://a.example/x", "URI:urn:x"})
	if err != nil || len(n.DNS) != 2 || len(n.IPs) != 2 || len(n.Emails) != 1 || len(n.URIs) != 2 {
		t.Fatalf("%+v %v", n, err)
	}
	r := &CertificateRequest{}
	n.PutRequest(r)
	if _, err := CreateRequest(rand.Reader, r, newKey(t), ""); err != nil {
		t.Error(err)
	}
	for _, in := range []string{"", "变色龙.example", "a b", "-a", "a..b", "IP:x", "email:x", "URI:x", "URI:http://é", "DNS:" + strings.Repeat("a", 64), "*.*.a"} {
		if _, err := ParseNames([]string{in}); err == nil {
			t.Errorf("%q: taken", in)
		}
	}
}
