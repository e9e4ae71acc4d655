package cms

import "errors"

// Errors about messages. Their text is constant: it may be told to whoever sent one.
var (
	ErrMalformed   = errors.New("cms: malformed message")
	ErrUnsupported = errors.New("cms: the message takes an algorithm or a version that is not supported")
	ErrKind        = errors.New("cms: the message is of another kind")
	ErrDetached    = errors.New("cms: the message is without its content: give it")
	ErrAttached    = errors.New("cms: the message has its content: give no other")
	ErrNoSigner    = errors.New("cms: nobody signed the message")

	ErrNoCertificate = errors.New("cms: the signer's certificate is not there: give it")
	ErrUsage         = errors.New("cms: the certificate's key usage is for something else")
	ErrUntrusted     = errors.New("cms: the signer's certificate is not trusted")
	ErrDigest        = errors.New("cms: the content is not what was signed")
	ErrSignature     = errors.New("cms: the signature does not fit")
	ErrPlain         = errors.New("cms: the signature covers the content without the signer's identity, as OpenSSL and Linux have it: ask for that (plain)")

	ErrNoRecipient = errors.New("cms: the message is for others")
	ErrRecipients  = errors.New("cms: the message is for several with RSA: give the recipient's certificate")
	ErrOpen        = errors.New("cms: the message does not open with this key")
)
