package impl

import "testing"

func TestChoose(t *testing.T) {
	of := map[Level]string{Generic: "g", AVX512: "z"}
	for _, c := range []struct {
		env   string
		limit Level
		bad   bool
	}{{"", AVX512, false}, {"generic", Generic, false}, {"avx2", AVX2, false}, {"gfni", GFNI, false}, {"avx512", AVX512, false}, {"AVX9", AVX512, true}} {
		t.Setenv("GM_CPU", c.env)
		if l, err := Limit(); l != c.limit || (err != nil) != c.bad {
			t.Errorf("GM_CPU=%q: %v, %v", c.env, l, err)
		}
		want, level := "g", Generic
		if c.limit == AVX512 && Available()[0] == AVX512 {
			want, level = "z", AVX512
		}
		if got, l := Choose(of); got != want || l != level {
			t.Errorf("GM_CPU=%q chooses %q, %v; want %q", c.env, got, l, want)
		}
	}
	if all := Available(); all[len(all)-1] != Generic {
		t.Errorf("%v", all)
	}
}
