package sm2

import (
	"bytes"

	"github.com/anole-os/anole/gm/internal/kat"
)

// GB/T 32918.5-2017, appendix B: keys and random numbers of A and B, who have the standard
// identity; the key they come to, and S_B and S_A.
const (
	katScalarA  = "81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029"
	katScalarB  = "785129917d45a9ea5437a59356b82338eaadda6ceb199088f14ae10defa229b5"
	katRandomA  = "d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3"
	katRandomB  = "7e07124814b309489125eaed101113164ebf0f3458c5bd88335c1f9d596243d6"
	katAgreed   = "6c89347354de2484c60b4ab1fde4c6e5"
	katConfirms = "d3a0fe15dee185ceae907a6b595cc32a266ed7b3367e9983a896dc32fa20f8eb" +
		"18c7894b3816df16cf07b05c5ec0bef5d655d58f779cc1b400a4f3884644db88"
)

// exchangeCheck is of both sides of a key exchange.
func exchangeCheck() kat.Check {
	const name, by = "SM2 key exchange", "gmsm"
	return kat.Check{Name: name, Implementation: by, Run: func() error {
		all, err := katExchange()
		if err != nil {
			return err
		}
		return kat.Equal(name, by, all, katAgreed+katAgreed+katConfirms)
	}}
}

// katExchange gives the keys of A and B, S_B and S_A.
func katExchange() (all []byte, err error) {
	var key [2]*PrivateKey
	for i, d := range []string{katScalarA, katScalarB} {
		if key[i], err = NewPrivateKey(kat.Hex(d)); err != nil {
			return nil, err
		}
	}
	id := []byte(DefaultID)
	var side [2]*Exchange
	var point, confirmation [2][]byte
	for i, random := range []string{katRandomA, katRandomB} {
		if side[i], err = NewExchange(key[i], id, &key[1-i].PublicKey, id, len(katAgreed)/2, Role(i)); err != nil {
			return nil, err
		}
		if point[i], err = side[i].Begin(bytes.NewReader(kat.Hex(random))); err != nil {
			return nil, err
		}
	}
	for i := range side {
		if confirmation[i], err = side[i].Agree(point[1-i]); err != nil {
			return nil, err
		}
	}
	for i := range side {
		if err = side[i].Check(confirmation[1-i]); err != nil {
			return nil, err
		}
		k, err := side[i].Key()
		if err != nil {
			return nil, err
		}
		all = append(all, k...)
	}
	return append(append(all, confirmation[Responder]...), confirmation[Initiator]...), nil
}
