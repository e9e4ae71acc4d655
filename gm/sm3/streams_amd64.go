package sm3

// together is the lanes of a wide kernel.
type together struct {
	wide   wide
	state  states
	at     [Width]*byte
	length [Width]uint64 // bytes
}

// pair is how many messages take no longer one by one than side by side.
const pair = 2

func newSides() sides {
	switch chosen.blocks {
	case byAVX512:
		return &together{wide: whole}
	case byAVX2:
		return &together{wide: inQuarters}
	}
	return &separate{}
}

func (t *together) begin(lane int) {
	t.state.begin(lane)
	t.length[lane] = 0
}

func (t *together) blocks(pieces *[Width][]byte, n int) {
	busy, busiest, some := 0, 0, 0
	for i, p := range pieces {
		if len(p) > 0 {
			t.length[i] += uint64(n)
			busy, busiest, some = busy+1, i+1, i
		}
	}
	if busy <= pair {
		t.apart(pieces, n)
		return
	}
	before := t.state
	for from := 0; from < n; from += once * BlockSize {
		for i, p := range pieces {
			if len(p) == 0 {
				p = pieces[some] // a lane without a piece goes with another's, for nothing
			}
			t.at[i] = &p[from]
		}
		t.wide(&t.state, &t.at, min(n-from, once*BlockSize)/BlockSize, busiest)
	}
	for i, p := range pieces {
		if len(p) == 0 {
			for w, v := range before.column(i) {
				*t.state.cell(w, i) = v
			}
		}
	}
	clear(t.at[:]) // so that it holds nobody's memory
}

// apart takes each piece on its own.
func (t *together) apart(pieces *[Width][]byte, n int) {
	for i, p := range pieces {
		if len(p) > 0 {
			d := digest{state: t.state.column(i)}
			d.blocks(p[:n])
			for w, v := range d.state {
				*t.state.cell(w, i) = v
			}
		}
	}
}

func (t *together) sum(lane int, rest []byte) [Size]byte {
	d := digest{state: t.state.column(lane), length: t.length[lane]}
	_, _ = d.Write(rest)
	return d.finish()
}
