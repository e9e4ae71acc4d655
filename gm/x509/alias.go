package x509

import "github.com/emmansun/gmsm/smx509"

// The types are smx509's, and so are crypto/x509's constants.
type (
	Certificate         = smx509.Certificate
	CertificateRequest  = smx509.CertificateRequest
	RevocationList      = smx509.RevocationList
	RevocationListEntry = smx509.RevocationListEntry
	KeyUsage            = smx509.KeyUsage
	ExtKeyUsage         = smx509.ExtKeyUsage
	SignatureAlgorithm  = smx509.SignatureAlgorithm
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

// forSigning and forEncryption are the usages that GM/T 0015 gives to the two halves of
// a pair.
const (
	forSigning    = KeyUsageDigitalSignature | KeyUsageContentCommitment
	forEncryption = KeyUsageKeyEncipherment | KeyUsageDataEncipherment | KeyUsageKeyAgreement
)
