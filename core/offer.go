package core

import (
	"fmt"
	"reflect"
	"sync"
)

// Offers carries values between modules by type, in Provision. It is safe for
// concurrent use.
type Offers struct {
	mu sync.Mutex
	m  map[reflect.Type]any
}

// Offer makes v available to modules that Want its type T; T is usually an
// interface of the receiving room. A second offer of one type is an error.
func Offer[T any](o *Offers, v T) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := reflect.TypeFor[T]()
	if _, ok := o.m[t]; ok {
		return fmt.Errorf("offer %v: already offered", t)
	}
	if o.m == nil {
		o.m = map[reflect.Type]any{}
	}
	o.m[t] = v
	return nil
}

// Want gives the offered value of type T, and whether there is one. A module
// that wants must name the offering one in Needs or After.
func Want[T any](o *Offers) (T, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.m[reflect.TypeFor[T]()].(T)
	return v, ok
}
