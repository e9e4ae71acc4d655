package observer

import "testing"

// What is over the limit is taken back at once, and given again slowly.
func TestBudget(t *testing.T) {
	b := budget{limit: 0.1}
	if b.step(0.1) || b.at != whole {
		t.Errorf("at the limit: %v", b.at)
	}
	for i := 1; i <= int(last); i++ {
		if !b.step(0.2) || b.at != level(i) {
			t.Fatalf("step %d: %v", i, b.at)
		}
	}
	if b.step(0.2) || b.at != last {
		t.Errorf("below the last level: %v", b.at)
	}
	if b.at.skip() != 128 || lite.skip() != 1 || sampled.skip() != 2 {
		t.Errorf("one connection of %d, %d, %d", b.at.skip(), lite.skip(), sampled.skip())
	}
	for i := range calmFor - 1 {
		if b.step(0.01) {
			t.Fatalf("up after %d s", i)
		}
	}
	if b.step(0.05); b.at != last { // not calm: it begins anew
		t.Errorf("up while busy: %v", b.at)
	}
	ups := 0
	for range 2 * calmFor {
		if b.step(0.01) {
			ups++
		}
	}
	if ups != 2 || b.at != last-2 {
		t.Errorf("%d levels up in %d s, to %v", ups, 2*calmFor, b.at)
	}
	none := budget{}
	if none.step(100) {
		t.Error("there is no limit")
	}
}
