package policy

import (
	"maps"
	"slices"
)

// Op is what is done with an algorithm.
type Op string

// The operations.
const (
	Sign         Op = "sign"
	Verify       Op = "verify"
	Encrypt      Op = "encrypt" // under a secret or a public key
	Decrypt      Op = "decrypt"
	Hash         Op = "hash"
	MAC          Op = "mac"
	Agree        Op = "agree"        // on a key with a peer
	Generate     Op = "generate"     // a key
	Import       Op = "import"       // a key
	Issue        Op = "issue"        // a certificate
	Authenticate Op = "authenticate" // by certificates, as an end of a connection
)

var ops = []Op{Sign, Verify, Encrypt, Decrypt, Hash, MAC, Agree, Generate, Import, Issue, Authenticate}

// Alg is an algorithm's name, in small letters.
type Alg string

// The algorithms that are known; all others are denied.
const (
	SM2              Alg = "sm2"
	SM3              Alg = "sm3"
	SM4              Alg = "sm4"
	SM9              Alg = "sm9"
	ZUC              Alg = "zuc"
	ZUC256           Alg = "zuc-256" // of its designers' paper: no GM/T has it
	HMACSM3          Alg = "hmac-sm3"
	CurveSM2MLKEM768 Alg = "curvesm2mlkem768"
	AES128           Alg = "aes-128"
	AES192           Alg = "aes-192"
	AES256           Alg = "aes-256"
	ChaCha20         Alg = "chacha20-poly1305"
	DES              Alg = "des"
	TripleDES        Alg = "3des"
	RC4              Alg = "rc4"
	MD5              Alg = "md5"
	SHA1             Alg = "sha-1"
	SHA224           Alg = "sha-224"
	SHA256           Alg = "sha-256"
	SHA384           Alg = "sha-384"
	SHA512           Alg = "sha-512"
	SHA3256          Alg = "sha3-256"
	SHA3384          Alg = "sha3-384"
	SHA3512          Alg = "sha3-512"
	BLAKE2b          Alg = "blake2b" // and Argon2, which is made of it
	HMACSHA256       Alg = "hmac-sha-256"
	HMACSHA384       Alg = "hmac-sha-384"
	HMACSHA512       Alg = "hmac-sha-512"
	RSA              Alg = "rsa"
	P224             Alg = "p-224" // ECDSA and ECDH alike
	P256             Alg = "p-256"
	P384             Alg = "p-384"
	P521             Alg = "p-521"
	Ed25519          Alg = "ed25519"
	X25519           Alg = "x25519"
	MLKEM768         Alg = "ml-kem-768"
	X25519MLKEM768   Alg = "x25519mlkem768"
)

// property of an algorithm.
type property struct {
	sm   bool
	bits int // of strength; 0: by the length of the key
}

// sm9Bits is the strength of SM9, whose curve is of 256 bits and was meant to have 128: what
// the number field sieve of Kim and Barbulescu (2016) leaves of its pairing. GM/T 0044 has no
// longer curve, so that DefaultConfig asks for no more; nothing else that is known here lies
// between the 80 bits of 3DES and the 112 of RSA with 2,048.
const sm9Bits = 100

// The strengths are those of SP 800-57 part 1, tables 2 and 3, where it has them; of
// hashes against collisions. SHA-1 and MD5 have what attacks have left of them.
var properties = map[Alg]property{
	SM2: {true, 128}, SM3: {true, 128}, SM4: {true, 128}, SM9: {true, sm9Bits}, ZUC: {true, 128}, ZUC256: {false, 256}, HMACSM3: {true, 128}, CurveSM2MLKEM768: {true, 128},
	AES128: {false, 128}, AES192: {false, 192}, AES256: {false, 256}, ChaCha20: {false, 256}, DES: {false, 56}, TripleDES: {false, 80}, RC4: {false, 40},
	MD5: {false, 18}, SHA1: {false, 61}, SHA224: {false, 112}, SHA256: {false, 128}, SHA384: {false, 192}, SHA512: {false, 256},
	SHA3256: {false, 128}, SHA3384: {false, 192}, SHA3512: {false, 256}, BLAKE2b: {false, 256},
	HMACSHA256: {false, 256}, HMACSHA384: {false, 256}, HMACSHA512: {false, 256},
	RSA: {false, 0}, P224: {false, 112}, P256: {false, 128}, P384: {false, 192}, P521: {false, 256}, Ed25519: {false, 128}, X25519: {false, 128}, MLKEM768: {false, 192}, X25519MLKEM768: {false, 192},
}

// Algorithms lists those that are known, in alphabetical order.
func Algorithms() []Alg { return slices.Sorted(maps.Keys(properties)) }

// IsSM says whether an algorithm is one of ShangMi.
func (a Alg) IsSM() bool { return properties[a].sm }

// Bits is an algorithm's strength, with a key of so many bits where that matters (of RSA,
// the modulus). It is 0 where it is not known.
func (a Alg) Bits(key int) int {
	if a != RSA {
		return properties[a].bits
	}
	bits := 0
	for _, step := range []struct{ modulus, bits int }{{1024, 80}, {2048, 112}, {3072, 128}, {7680, 192}, {15360, 256}} {
		if key >= step.modulus {
			bits = step.bits
		}
	}
	return bits
}

// Params are what a check needs beside the algorithm; the zero value is for where nothing
// of it applies.
type Params struct {
	KeyBits int    // of an RSA modulus; without it a key has no strength
	Mode    string // of a block cipher, such as "ecb" or "gcm"
	DistID  string // of a signature with SM2: the signer's identity; empty is 1234567812345678
	Dual    bool   // of Authenticate with SM2: there is a certificate to sign with and another to encrypt to
}
