package gmt0005

import (
	"math"
	"math/cmplx"
)

// Fourier is the discrete Fourier transform test (5.15): of the first half of the
// spectrum 95 of 100 lines are to be below a threshold. It takes 8 bytes of memory a bit.
func (s *Bits) Fourier() Value {
	n := float64(s.n)
	return twoSided((float64(s.low()) - 0.95*n/2) / math.Sqrt(0.95*0.05*n/3.8))
}

// low counts the lines below the threshold, of a spectrum that is of exactly n bits: it
// is not padded.
func (s *Bits) low() (count int) {
	most := 2.995732274 * float64(s.n)
	below := func(x complex128) {
		if real(x)*real(x)+imag(x)*imag(x) < most {
			count++
		}
	}
	if s.n%2 != 0 {
		for _, x := range transform(s.n, func(i int) complex128 { return complex(2*float64(s.at(i))-1, 0) })[:s.n/2] {
			below(x)
		}
		return count
	}
	// Bits are real: two at a time are one complex number, and come apart afterwards.
	half := s.n / 2
	pairs := [4]complex128{-1 - 1i, -1 + 1i, 1 - 1i, 1 + 1i}
	z := transform(half, func(i int) complex128 { return pairs[s.w[i>>5]>>(62-2*(i&31))&3] })
	w := newRoots(s.n)
	for k := range half {
		a, b := z[k], cmplx.Conj(z[(half-k)%half])
		even, odd := (a+b)/2, (a-b)/2
		below(even + w.at(k)*complex(imag(odd), -real(odd)))
	}
	return count
}

// roots are e^(-2πik/n) for all k below n: from a table, or as products from two, so that
// the tables of a large n stay small.
type roots struct {
	low, high []complex128
	bits      uint
}

func newRoots(n int) *roots {
	r := &roots{bits: 13}
	root := func(k int) complex128 {
		s, c := math.Sincos(-2 * math.Pi * float64(k) / float64(n))
		return complex(c, s)
	}
	for k := range min(n, 1<<r.bits) {
		r.low = append(r.low, root(k))
	}
	for k := 0; k < n; k += 1 << r.bits {
		r.high = append(r.high, root(k))
	}
	return r
}

func (r *roots) at(k int) complex128 {
	if k < len(r.low) {
		return r.low[k]
	}
	return r.high[k>>r.bits] * r.low[k&(1<<r.bits-1)]
}

// stage turns radix spectra of length n/radix each into one of length n.
type stage struct {
	n, radix int
	w        *roots // of n
}

// transform is the discrete Fourier transform of n values, for an n that is a product of
// small primes: the time goes with the largest.
func transform(n int, value func(int) complex128) []complex128 {
	out := make([]complex128, n)
	var stages []stage
	for left := n; left > 1; {
		radix := 2
		switch {
		case left%4 == 0:
			radix = 4
		case left%2 != 0:
			for radix = 3; left%radix != 0; radix += 2 {
			}
		}
		stages = append(stages, stage{left, radix, newRoots(left)})
		left /= radix
	}
	t := &transformer{value, stages}
	t.run(out, 0, 1, 0)
	return out
}

type transformer struct {
	value  func(int) complex128
	stages []stage
}

// run transforms the values at from, from+step, … depth first, so that what is worked on
// fits the caches.
func (t *transformer) run(out []complex128, from, step, depth int) {
	if len(out) == 1 {
		out[0] = t.value(from)
		return
	}
	st := t.stages[depth]
	part := len(out) / st.radix
	if part == 1 {
		for j := range out {
			out[j] = t.value(from + j*step)
		}
	} else {
		for j := range st.radix {
			t.run(out[j*part:(j+1)*part], from+j*step, step*st.radix, depth+1)
		}
	}
	switch st.radix {
	case 2:
		two(out, part, st.w)
	case 4:
		four(out, part, st.w)
	case 5:
		five(out, part, st.w)
	default:
		st.any(out, part)
	}
}

func two(out []complex128, part int, w *roots) {
	for k := range part {
		a, b := out[k], out[k+part]*w.at(k)
		out[k], out[k+part] = a+b, a-b
	}
}

func four(out []complex128, part int, w *roots) {
	o0, o1, o2, o3 := out[:part], out[part:2*part], out[2*part:3*part], out[3*part:4*part]
	for k := range part {
		w1 := w.at(k)
		w2 := w1 * w1
		a, b, c, d := o0[k], o1[k]*w1, o2[k]*w2, o3[k]*(w1*w2)
		p, q, r, s := a+c, a-c, b+d, b-d
		s = complex(imag(s), -real(s)) // times -i
		o0[k], o1[k], o2[k], o3[k] = p+r, q+s, p-r, q-s
	}
}

func five(out []complex128, part int, w *roots) {
	s1, c1 := math.Sincos(2 * math.Pi / 5)
	s2, c2 := math.Sincos(4 * math.Pi / 5)
	mul := func(f float64, x complex128) complex128 { return complex(f*real(x), f*imag(x)) }
	o0, o1, o2, o3, o4 := out[:part], out[part:2*part], out[2*part:3*part], out[3*part:4*part], out[4*part:5*part]
	for k := range part {
		w1 := w.at(k)
		w2 := w1 * w1
		a, b, c, d, e := o0[k], o1[k]*w1, o2[k]*w2, o3[k]*(w1*w2), o4[k]*(w2*w2)
		p, q, r, s := b+e, b-e, c+d, c-d
		x, y := a+mul(c1, p)+mul(c2, r), a+mul(c2, p)+mul(c1, r)
		u, v := mul(s1, q)+mul(s2, s), mul(s2, q)-mul(s1, s)
		u, v = complex(imag(u), -real(u)), complex(imag(v), -real(v))
		o0[k], o1[k], o2[k], o3[k], o4[k] = a+p+r, x+u, y+v, y-v, x-u
	}
}

// any is for a radix of its own, by the definition.
func (st stage) any(out []complex128, part int) {
	in := make([]complex128, st.radix)
	for k := range part {
		for j := range in {
			in[j] = out[k+j*part] * st.w.at(j*k)
		}
		for p := range in {
			var sum complex128
			for j, x := range in {
				sum += x * st.w.at(j*p%st.radix*part)
			}
			out[k+p*part] = sum
		}
	}
}
