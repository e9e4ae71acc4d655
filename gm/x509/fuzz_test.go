package x509

import (
	"crypto/rand"
	"testing"
	"time"
)

func FuzzCertificate(f *testing.F) {
	h := newHouse(f, "")
	f.Add(h.sign.cert.Raw)
	f.Add(h.root.cert.Raw)
	f.Add(PEM(PEMCertificate, h.enc.cert.Raw, h.inter.cert.Raw))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ReadCertificates(b)
		if err != nil {
			return
		}
		for _, c := range all {
			d := Describe(c)
			_ = d.state(time.Now())
			for _, id := range ids {
				_ = CheckCertificate(c, h.inter.cert, id)
				_, _ = Verify(c, h.options(id))
			}
			if p, err := NewSignEncPair(c, h.enc.cert); err == nil {
				_ = p.Verify(h.options(""))
			}
		}
	})
}

func FuzzRequest(f *testing.F) {
	b, err := CreateRequest(rand.Reader, &CertificateRequest{DNSNames: []string{"a.example"}}, newKey(f), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		if r, err := ReadRequest(b); err == nil {
			_ = CheckRequest(r, "")
		}
	})
}

func FuzzCRL(f *testing.F) {
	h := newHouse(f, "")
	b, err := CreateCRL(rand.Reader, &RevocationList{Number: serial(f), ThisUpdate: begin, NextUpdate: begin.AddDate(0, 0, 1),
		RevokedCertificateEntries: []RevocationListEntry{{SerialNumber: serial(f), RevocationTime: begin, ReasonCode: 1}}}, h.inter.cert, h.inter.key, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		l, err := ReadCRL(b)
		if err != nil {
			return
		}
		_ = CheckCRL(l, h.inter.cert, "")
		r, err := NewRevocations(l, h.inter.cert, "")
		if err == nil {
			_ = r.Lookup(h.sign.cert.SerialNumber)
			_ = r.Current(begin)
		}
	})
}
