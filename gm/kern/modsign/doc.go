// Package modsign signs kernel modules and verifies their signatures, in the form of
// Linux' scripts/sign-file.c and kernel/module/signing.c: behind the module a PKCS #7
// message, a struct module_signature of 12 bytes and a line of text.
//
// The message is detached, has neither attributes nor certificates and names the signer
// by issuer and number. With RSA it is what sign-file makes, byte for byte. With SM2 it
// covers SM3 of the module without the signer's identity, as OpenSSL's CMS and kernels
// with CONFIG_CRYPTO_SM2 have it.
package modsign
