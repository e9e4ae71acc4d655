package sm2

import (
	"crypto"
	"crypto/rand"
	"errors"
	"io"
	"sync"

	"github.com/anole-os/anole/gm/sm3"
)

// errBroken is of a signature among others, in whose making something panicked.
var errBroken = errors.New("sm2: a signature made at the same time failed")

// few signatures are sooner made one after the other than side by side.
const few = 2

// signing is a signature that is to be made.
type signing struct {
	signer *Signer
	draw   bool // noise, with that of others
	noise  noise
	digest [sm3.Size]byte
	r, s   words
	err    error
}

// drawMany reads the noise of those that want it, at once.
func drawMany(random io.Reader, jobs []*signing) error {
	var room [lanes * len(noise{})]byte
	n := 0
	for _, j := range jobs {
		if j.draw {
			n += len(noise{})
		}
	}
	if n == 0 {
		return nil
	}
	err := fill(random, room[:n])
	n = 0
	for _, j := range jobs {
		if j.draw {
			j.noise, j.err = noise(room[n:]), err
			n += len(noise{})
		}
	}
	clear(room[:])
	return err
}

// signTogether draws noise and signs. That of one job may fail, and not that of others.
func signTogether(jobs []*signing) {
	_ = drawMany(rand.Reader, jobs) // it is in the jobs
	signMany(jobs)
}

// signMany makes up to lanes signatures, of any keys.
func signMany(jobs []*signing) {
	if engine == nil || len(jobs) <= few {
		for _, j := range jobs {
			j.alone()
		}
		return
	}
	var room [lanes]message
	var messages [lanes][]byte
	var sums [lanes][sm3.Size]byte
	for i, j := range jobs {
		j.signer.nonces.message(&room[i], &j.noise, j.digest[:], 0)
		messages[i] = room[i][:]
	}
	sm3.SumMany(sums[:], messages[:len(jobs)])
	var k, x [lanes]words
	var good [lanes]bool
	for i := range k {
		k[i] = wordsOf(sums[i][:])
		if good[i] = i < len(jobs) && inRange(&k[i]); !good[i] {
			k[i] = words{1} // for nothing
		}
	}
	n := (len(jobs) + lane - 1) / lane * lane
	engine.baseMany(x[:n], k[:n])
	for i, j := range jobs {
		e := wordsOf(j.digest[:])
		var ok bool
		if j.r, j.s, ok = j.signer.finish(&e, &k[i], &x[i]); !ok || !good[i] {
			j.alone()
		}
	}
	clear(sums[:])
	clear(room[:])
	clear(k[:])
}

// alone makes one.
func (j *signing) alone() {
	var ok bool
	if j.r, j.s, ok = j.signer.make(&j.noise, j.digest[:]); !ok && j.err == nil {
		j.err = errNonces
	}
}

// SignMany signs digests of 32 bytes, as Sign does, in less time than one after the
// other takes.
func (s *Signer) SignMany(random io.Reader, digests [][]byte) ([][]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	out := make([][]byte, 0, len(digests))
	room := make([]byte, 0, len(digests)*maxSignature)
	var all [lanes]signing
	var jobs [lanes]*signing
	for i := range all {
		jobs[i] = &all[i]
	}
	for len(digests) > 0 {
		n := min(len(digests), lanes)
		for i, d := range digests[:n] {
			if len(d) != sm3.Size {
				return nil, errDigest
			}
			all[i].signer, all[i].draw, all[i].digest = s, random != nil, [sm3.Size]byte(d)
		}
		if err := drawMany(random, jobs[:n]); err != nil {
			return nil, err
		}
		digests = digests[n:]
		signMany(jobs[:n])
		for _, j := range jobs[:n] {
			if j.err != nil {
				return nil, j.err
			}
			from := len(room)
			room = appendSignature(room, &j.r, &j.s)
			out = append(out, room[from:len(room):len(room)])
		}
	}
	return out, nil
}

// BatchSigner is a Signer whose signatures are made side by side where several goroutines
// ask for some at the same time, with less work for each. One that is asked by a single
// goroutine does what a Signer does, and waits for nothing.
type BatchSigner struct {
	*Signer
	queue *queue[signing]
}

// NewBatchSigner makes one of a Signer.
func NewBatchSigner(s *Signer) *BatchSigner {
	return &BatchSigner{s, &queue[signing]{run: signTogether, fail: func(j *signing) { j.err = errBroken }, most: lanes}}
}

// With is another key's, that goes side by side with this one's.
func (b *BatchSigner) With(s *Signer) *BatchSigner { return &BatchSigner{s, b.queue} }

// Sign implements crypto.Signer, as Signer does.
func (b *BatchSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return b.signAny(b.sign, random, digest, opts)
}

// SignMessage implements crypto.MessageSigner, as Signer does.
func (b *BatchSigner) SignMessage(random io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	return b.signMessage(b.sign, random, msg, opts)
}

// SignWithID signs a message under the signer's identity.
func (b *BatchSigner) SignWithID(random io.Reader, id, msg []byte) ([]byte, error) {
	return b.signWithID(b.sign, random, id, msg)
}

var signings = sync.Pool{New: func() any { return newCall[signing]() }}

func (b *BatchSigner) sign(random io.Reader, digest []byte) ([]byte, error) {
	if err := b.takes(digest); err != nil {
		return nil, err
	}
	c := signings.Get().(*call[signing])
	c.job = signing{signer: b.Signer, draw: random == rand.Reader, digest: [sm3.Size]byte(digest)}
	if !c.job.draw {
		var err error
		if c.job.noise, err = drawn(random); err != nil {
			signings.Put(c)
			return nil, err
		}
	}
	b.queue.do(c)
	r, t, err := c.job.r, c.job.s, c.job.err
	c.job = signing{}
	signings.Put(c) // not where it panics: others may know it still
	if err != nil {
		return nil, err
	}
	return appendSignature(make([]byte, 0, maxSignature), &r, &t), nil
}

// checking is a signature that is to be checked.
type checking struct {
	job
	answer
}

func checkMany(jobs []*checking) {
	if len(jobs) <= few {
		for _, j := range jobs {
			j.answer = engine.once(&j.x, &j.y, &j.claim)
		}
		return
	}
	var all [lane]job
	for i := range all {
		all[i] = jobs[min(i, len(jobs)-1)].job
	}
	answers := engine.many(&all)
	for i, j := range jobs {
		j.answer = answers[i]
	}
}

// BatchVerifier checks signatures of any keys, side by side where several goroutines ask
// at the same time. One goroutine alone has what Verify gives.
type BatchVerifier struct{ queue queue[checking] }

// NewBatchVerifier makes one.
func NewBatchVerifier() *BatchVerifier {
	return &BatchVerifier{queue[checking]{run: checkMany, fail: func(j *checking) { j.answer = answer{sure: true} }, most: lane}}
}

var checkings = sync.Pool{New: func() any { return newCall[checking]() }}

// Verify checks a signature over a digest.
func (b *BatchVerifier) Verify(pub *PublicKey, digest, signature []byte) error {
	if engine == nil {
		return plainVerify(pub, digest, signature)
	}
	var j job
	var ok bool
	if j.x, j.y, ok = coordinates(pub); !ok || !j.read(digest, signature) {
		return ErrRefused
	}
	c := checkings.Get().(*call[checking])
	c.job.job = j
	b.queue.do(c)
	a := c.job.answer
	checkings.Put(c)
	return j.outcome(a, pub, digest, signature)
}

// VerifyMessage checks a signature over a message under the signer's identity.
func (b *BatchVerifier) VerifyMessage(pub *PublicKey, id, msg, signature []byte) error {
	return verifyMessage(b.Verify, pub, id, msg, signature)
}

// VerifyMany checks signatures of keys over digests, side by side, and tells which hold.
// It panics where the three are not of one length.
func VerifyMany(pubs []*PublicKey, digests, signatures [][]byte) []error {
	if len(digests) != len(pubs) || len(signatures) != len(pubs) {
		panic("sm2: not as many keys as digests and signatures")
	}
	out := make([]error, len(pubs))
	var all [lane]checking
	var jobs [lane]*checking
	var of [lane]int
	n := 0
	flush := func() {
		checkMany(jobs[:n])
		for i, j := range jobs[:n] {
			at := of[i]
			out[at] = j.outcome(j.answer, pubs[at], digests[at], signatures[at])
		}
		n = 0
	}
	for i, pub := range pubs {
		if engine == nil {
			out[i] = plainVerify(pub, digests[i], signatures[i])
			continue
		}
		j := &all[n]
		var ok bool
		if j.x, j.y, ok = coordinates(pub); !ok || !j.read(digests[i], signatures[i]) {
			out[i] = ErrRefused
			continue
		}
		jobs[n], of[n] = j, i
		if n++; n == lane {
			flush()
		}
	}
	if n > 0 {
		flush()
	}
	return out
}
