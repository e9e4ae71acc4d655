package x509

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

var nameTypes = map[string]asn1.ObjectIdentifier{
	"CN": {2, 5, 4, 3}, "SN": {2, 5, 4, 4}, "SERIALNUMBER": {2, 5, 4, 5}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8}, "STREET": {2, 5, 4, 9},
	"O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "TITLE": {2, 5, 4, 12}, "POSTALCODE": {2, 5, 4, 17}, "GN": {2, 5, 4, 42},
	"DC": {0, 9, 2342, 19200300, 100, 1, 25}, "UID": {0, 9, 2342, 19200300, 100, 1, 1},
}

// ParseName reads a distinguished name: "C=CN, O=Name, CN=host", in the order in which it
// is written into a certificate. A backslash takes its meaning from a comma.
func ParseName(s string) (pkix.Name, error) {
	var n pkix.Name
	if !utf8.ValidString(s) {
		return n, errors.New("name: it is not UTF-8")
	}
	for _, part := range split(s) {
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.ToUpper(strings.TrimSpace(key)), strings.TrimSpace(value)
		id := nameTypes[key]
		switch {
		case !ok:
			return n, fmt.Errorf("name %q: %q has no =: write C=CN, O=Name, CN=host", s, part)
		case id == nil:
			return n, fmt.Errorf("name %q: %q is not known: it may be C, ST, L, O, OU, CN, SN, GN, SERIALNUMBER, STREET, POSTALCODE, TITLE, DC or UID", s, key)
		case value == "" || len(value) > 256:
			return n, fmt.Errorf("name %q: %s must have 1 to 256 bytes", s, key)
		case key == "C" && len(value) != 2:
			return n, fmt.Errorf("name %q: C must be a country's two letters", s)
		}
		n.ExtraNames = append(n.ExtraNames, attribute(key, id, value))
		if key == "CN" {
			n.CommonName = value
		}
	}
	if len(n.ExtraNames) == 0 {
		return n, errors.New("name: it is empty: write CN=host at least")
	}
	return n, nil
}

// Name writes a distinguished name, its last part first, as RFC 4514 does.
func Name(n pkix.Name) string {
	all := n.Names // of one that was read
	if len(all) == 0 {
		for _, set := range n.ToRDNSequence() {
			all = append(all, set...)
		}
	}
	var parts []string
	for _, a := range slices.Backward(all) {
		key := a.Type.String()
		for k, id := range nameTypes {
			if id.Equal(a.Type) {
				key = k
			}
		}
		value := fmt.Sprint(a.Value)
		if raw, ok := a.Value.(asn1.RawValue); ok {
			value = string(raw.Bytes)
		}
		parts = append(parts, key+"="+special.Replace(value))
	}
	return Clean(strings.Join(parts, ","))
}

var special = strings.NewReplacer(",", `\,`, "+", `\+`, `"`, `\"`, `\`, `\\`, "<", `\<`, ">", `\>`, ";", `\;`)

// attribute has the string type that RFC 5280 and RFC 4519 want of it.
func attribute(key string, id asn1.ObjectIdentifier, value string) pkix.AttributeTypeAndValue {
	if key == "DC" {
		return pkix.AttributeTypeAndValue{Type: id, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(value)}}
	}
	return pkix.AttributeTypeAndValue{Type: id, Value: value}
}

// split parts at commas without a backslash.
func split(s string) []string {
	var all []string
	var b strings.Builder
	end := func() {
		if strings.TrimSpace(b.String()) != "" {
			all = append(all, b.String())
		}
		b.Reset()
	}
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == ',':
			end()
		default:
			b.WriteRune(r)
		}
	}
	end()
	return all
}

// Names is who a certificate is of beside its subject: RFC 5280, 4.2.1.6.
type Names struct {
	DNS, Emails []string
	IPs         []net.IP
	URIs        []*url.URL
}

// ParseNames reads names: "DNS:a.example", "IP:10.0.0.1", "email:a@example.com",
// "URI:https://a.example/"; without a prefix the kind is told by the look.
func ParseNames(all []string) (n Names, err error) {
	for _, s := range all {
		kind, value, ok := strings.Cut(s, ":")
		kind = strings.ToLower(kind)
		if !ok || kind != "dns" && kind != "ip" && kind != "email" && kind != "uri" {
			kind, value = kindOf(s), s
		}
		if err := n.add(kind, value); err != nil {
			return n, fmt.Errorf("name %q: %w", s, err)
		}
	}
	return n, nil
}

func kindOf(s string) string {
	switch {
	case net.ParseIP(s) != nil:
		return "ip"
	case strings.Contains(s, "://"):
		return "uri"
	case strings.Contains(s, "@"):
		return "email"
	}
	return "dns"
}

func (n *Names) add(kind, value string) error {
	switch kind {
	case "ip":
		ip := net.ParseIP(value)
		if ip == nil {
			return errors.New("not an IP address")
		}
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		n.IPs = append(n.IPs, ip)
	case "uri":
		u, err := url.Parse(value)
		if err != nil || u.Scheme == "" || !ascii(value) {
			return errors.New("not a URI of ASCII with a scheme")
		}
		n.URIs = append(n.URIs, u)
	case "email":
		local, host, ok := strings.Cut(value, "@")
		if !ok || local == "" || !ascii(local) || !hostname(host) {
			return errors.New("not an address of mail in ASCII")
		}
		n.Emails = append(n.Emails, value)
	default:
		if !hostname(strings.TrimPrefix(value, "*.")) {
			return errors.New("not a DNS name; one that is not ASCII is written as xn--…")
		}
		n.DNS = append(n.DNS, value)
	}
	return nil
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func hostname(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// Put writes names into a template of a certificate.
func (n *Names) Put(c *Certificate) {
	c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs = n.DNS, n.Emails, n.IPs, n.URIs
}

// PutRequest writes names into a template of a request.
func (n *Names) PutRequest(r *CertificateRequest) {
	r.DNSNames, r.EmailAddresses, r.IPAddresses, r.URIs = n.DNS, n.Emails, n.IPs, n.URIs
}

// Empty says whether there is none.
func (n *Names) Empty() bool { return len(n.DNS)+len(n.Emails)+len(n.IPs)+len(n.URIs) == 0 }
