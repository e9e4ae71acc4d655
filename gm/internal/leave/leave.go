// Package leave lets a caller go on as soon as its context is done, although what it waits
// for can only be waited for: a key derivation or the search for primes.
package leave

import "context"

// Do gives what f gives or, as soon as ctx is done, its error. f then goes on by itself
// until its end, and what it gives is dropped: it must neither use what its caller may
// change nor change anything itself.
func Do[T any](ctx context.Context, f func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if ctx.Done() == nil {
		return f()
	}
	type result struct {
		v   T
		err error
	}
	got := make(chan result, 1)
	go func() {
		v, err := f()
		got <- result{v, err}
	}()
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case r := <-got:
		return r.v, r.err
	}
}
