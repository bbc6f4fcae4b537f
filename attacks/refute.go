package attacks

import "math"

// mostRefusals is how many refuted claims of a run on an image it takes for its claims to be passed over: a model whose
// predictions depend on the batch size would refute each.
const mostRefusals = 5

// refusals are the claims of the runs under way that the verification has refuted, per image.
type refusals struct {
	count []int
	deaf  []int // the step at which claims count again
}

func newRefusals(n int) refusals { return refusals{make([]int, n), make([]int, n)} }

// refuse notes that a claim after so many steps was refuted.
func (r refusals) refuse(i, steps int) {
	r.count[i]++
	r.deaf[i] = steps
	if r.count[i] == mostRefusals {
		r.deaf[i] = math.MaxInt
	}
}

// forget begins the next run.
func (r refusals) forget(i int) { r.count[i], r.deaf[i] = 0, 0 }

// refute completes the record of an image that does not break its own, given the steps after which a search claimed that
// it does; 0 if it did not claim that. The run is not over then, and has no result yet.
func (t *trial) refute(r *record, steps int) {
	if t.minimal && !math.IsInf(float64(r.distance), 1) {
		return // misclassified, though beyond eps
	}
	r.refuted = steps
	if steps > 0 && !t.minimal {
		r.taken, r.adv = false, nil
	}
}
