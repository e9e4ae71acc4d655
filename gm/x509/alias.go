package x509

import "github.com/emmansun/gmsm/smx509"

// Types of smx509.
type (
	// Certificate is an X.509 certificate.
	Certificate = smx509.Certificate
	// CertificateRequest is a request of PKCS#10.
	CertificateRequest = smx509.CertificateRequest
	// RevocationList is a CRL.
	RevocationList = smx509.RevocationList
	// RevocationListEntry is a certificate in one.
	RevocationListEntry = smx509.RevocationListEntry
	// KeyUsage is a set of bits.
	KeyUsage = smx509.KeyUsage
	// ExtKeyUsage is a purpose of a certificate.
	ExtKeyUsage = smx509.ExtKeyUsage
	// SignatureAlgorithm is how something was signed.
	SignatureAlgorithm = smx509.SignatureAlgorithm
)

// SM2WithSM3 is the algorithm of signatures by SM2.
const SM2WithSM3 = smx509.SM2WithSM3

// What a key is for: RFC 5280, 4.2.1.3.
const (
	KeyUsageDigitalSignature  = smx509.KeyUsageDigitalSignature
	KeyUsageContentCommitment = smx509.KeyUsageContentCommitment
	KeyUsageKeyEncipherment   = smx509.KeyUsageKeyEncipherment
	KeyUsageDataEncipherment  = smx509.KeyUsageDataEncipherment
	KeyUsageKeyAgreement      = smx509.KeyUsageKeyAgreement
	KeyUsageCertSign          = smx509.KeyUsageCertSign
	KeyUsageCRLSign           = smx509.KeyUsageCRLSign
	KeyUsageEncipherOnly      = smx509.KeyUsageEncipherOnly
	KeyUsageDecipherOnly      = smx509.KeyUsageDecipherOnly
)

// What a certificate is for: RFC 5280, 4.2.1.12.
const (
	ExtKeyUsageAny             = smx509.ExtKeyUsageAny
	ExtKeyUsageServerAuth      = smx509.ExtKeyUsageServerAuth
	ExtKeyUsageClientAuth      = smx509.ExtKeyUsageClientAuth
	ExtKeyUsageCodeSigning     = smx509.ExtKeyUsageCodeSigning
	ExtKeyUsageEmailProtection = smx509.ExtKeyUsageEmailProtection
	ExtKeyUsageTimeStamping    = smx509.ExtKeyUsageTimeStamping
	ExtKeyUsageOCSPSigning     = smx509.ExtKeyUsageOCSPSigning
)

// ForSigning and ForEncryption are the usages that GM/T 0015 gives to the two halves of
// a pair.
const (
	ForSigning    = KeyUsageDigitalSignature | KeyUsageContentCommitment
	ForEncryption = KeyUsageKeyEncipherment | KeyUsageDataEncipherment | KeyUsageKeyAgreement
)
