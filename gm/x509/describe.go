package x509

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/sm3"
)

// Description is a certificate for people and, as JSON, for their programs. Its texts
// hold nothing that would steer a terminal.
type Description struct {
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	SelfIssued bool      `json:"self_issued"`
	Serial     string    `json:"serial"` // hex
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Key        string    `json:"key"`       // as keys.Algorithm
	Signature  string    `json:"signature"` // algorithm
	CA         bool      `json:"ca"`
	PathLen    *int      `json:"path_len,omitempty"`
	Usages     []string  `json:"usages,omitempty"`
	For        []string  `json:"for,omitempty"` // extended key usages
	Names      []string  `json:"names,omitempty"`
	KeyID      string    `json:"key_id,omitempty"`
	IssuerKey  string    `json:"issuer_key_id,omitempty"`
	CRLs       []string  `json:"crls,omitempty"`
	Unknown    []string  `json:"unknown_critical,omitempty"` // extensions
	SM3        string    `json:"sm3"`                        // of the DER
	SHA256     string    `json:"sha256"`
}

// Describe describes a certificate.
func Describe(c *Certificate) Description {
	s3, s256 := sm3.Sum(c.Raw), sha256.Sum256(c.Raw)
	d := Description{
		Subject: Name(c.Subject), Issuer: Name(c.Issuer), SelfIssued: string(c.RawSubject) == string(c.RawIssuer), Serial: Serial(c.SerialNumber),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Key: keys.Algorithm(c.PublicKey), Signature: Clean(c.SignatureAlgorithm.String()), CA: c.IsCA,
		Usages: Usages(c.KeyUsage), Names: names(c), KeyID: hex.EncodeToString(c.SubjectKeyId), IssuerKey: hex.EncodeToString(c.AuthorityKeyId),
		SM3: hex.EncodeToString(s3[:]), SHA256: hex.EncodeToString(s256[:]),
	}
	if c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
		d.PathLen = &c.MaxPathLen
	}
	for _, u := range c.ExtKeyUsage {
		d.For = append(d.For, extended(u))
	}
	for _, u := range c.UnknownExtKeyUsage {
		d.For = append(d.For, u.String())
	}
	for _, u := range c.CRLDistributionPoints {
		d.CRLs = append(d.CRLs, Clean(u))
	}
	for _, id := range c.UnhandledCriticalExtensions {
		d.Unknown = append(d.Unknown, id.String())
	}
	return d
}

// Serial writes a serial number as hexadecimal digits, two for each byte.
func Serial(n *big.Int) string {
	s := n.Text(16)
	if len(s)%2 == 1 {
		return "0" + s
	}
	return s
}

// Clean writes what would steer a terminal, and what is not text, as escapes.
func Clean(s string) string {
	clean := func(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case clean(r):
			b.WriteRune(r)
		case r == unicode.ReplacementChar && s[i] != 0xef: // a byte that is no UTF-8
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

func names(c *Certificate) []string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, "DNS:"+Clean(n))
	}
	for _, ip := range c.IPAddresses {
		all = append(all, "IP:"+ip.String())
	}
	for _, m := range c.EmailAddresses {
		all = append(all, "email:"+Clean(m))
	}
	for _, u := range c.URIs {
		all = append(all, "URI:"+Clean(u.String()))
	}
	return all
}

var usageNames = []struct {
	bit  KeyUsage
	name string
}{
	{KeyUsageDigitalSignature, "digital_signature"}, {KeyUsageContentCommitment, "content_commitment"}, {KeyUsageKeyEncipherment, "key_encipherment"},
	{KeyUsageDataEncipherment, "data_encipherment"}, {KeyUsageKeyAgreement, "key_agreement"}, {KeyUsageCertSign, "cert_sign"},
	{KeyUsageCRLSign, "crl_sign"}, {KeyUsageEncipherOnly, "encipher_only"}, {KeyUsageDecipherOnly, "decipher_only"},
}

// Usages names what a key is for.
func Usages(u KeyUsage) []string {
	var all []string
	for _, n := range usageNames {
		if u&n.bit != 0 {
			all = append(all, n.name)
		}
	}
	return all
}

// ParseUsages is the opposite of Usages.
func ParseUsages(names []string) (u KeyUsage, err error) {
	for _, name := range names {
		found := false
		for _, n := range usageNames {
			if n.name == name {
				u, found = u|n.bit, true
			}
		}
		if !found {
			return 0, fmt.Errorf("key usage %q is not known", name)
		}
	}
	return u, nil
}

var extendedNames = []struct {
	usage ExtKeyUsage
	name  string
}{
	{ExtKeyUsageAny, "any"}, {ExtKeyUsageServerAuth, "server"}, {ExtKeyUsageClientAuth, "client"}, {ExtKeyUsageCodeSigning, "code_signing"},
	{ExtKeyUsageEmailProtection, "email"}, {ExtKeyUsageTimeStamping, "time_stamping"}, {ExtKeyUsageOCSPSigning, "ocsp_signing"},
}

func extended(u ExtKeyUsage) string {
	for _, n := range extendedNames {
		if n.usage == u {
			return n.name
		}
	}
	return "number " + strconv.Itoa(int(u))
}

// ParseExtended reads a name of an extended key usage: server, client, code_signing,
// email, time_stamping, ocsp_signing or any.
func ParseExtended(name string) (ExtKeyUsage, error) {
	for _, n := range extendedNames {
		if n.name == name {
			return n.usage, nil
		}
	}
	return 0, fmt.Errorf("extended key usage %q is not known", name)
}

// Print writes a description as lines.
func (d *Description) Print(w io.Writer, now time.Time) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-14s %s\n", name, value)
		}
	}
	line("subject", d.Subject)
	if d.SelfIssued {
		line("issuer", "itself")
	} else {
		line("issuer", d.Issuer)
	}
	line("serial", d.Serial)
	line("valid", d.NotBefore.UTC().Format(time.RFC3339)+" to "+d.NotAfter.UTC().Format(time.RFC3339)+": "+d.state(now))
	line("key", d.Key)
	line("signed with", d.Signature)
	if d.CA {
		ca := "yes"
		if d.PathLen != nil {
			ca = fmt.Sprintf("yes, with at most %d below", *d.PathLen)
		}
		line("CA", ca)
	}
	line("key is for", strings.Join(d.Usages, ", "))
	line("is for", strings.Join(d.For, ", "))
	line("names", strings.Join(d.Names, ", "))
	line("key ID", d.KeyID)
	line("issuer key ID", d.IssuerKey)
	line("CRL at", strings.Join(d.CRLs, ", "))
	line("not understood", strings.Join(d.Unknown, ", "))
	line("SM3", d.SM3)
	line("SHA-256", d.SHA256)
	_, err := io.WriteString(w, b.String())
	return err
}

// state says where now is in the time of validity.
func (d *Description) state(now time.Time) string {
	days := func(t time.Duration) string { return strconv.Itoa(int(t.Hours() / 24)) }
	switch {
	case now.Before(d.NotBefore):
		return "not yet valid, in " + days(d.NotBefore.Sub(now)) + " days"
	case now.After(d.NotAfter):
		return "expired, " + days(now.Sub(d.NotAfter)) + " days ago"
	}
	return "for " + days(d.NotAfter.Sub(now)) + " days more"
}
