package study

import "math"

// N is the number of examples.
func (e *Examples) N() int { return e.Set.Len() }

// Top is the class with the highest of the probabilities of image i, CleanProbs or AdvProbs, and that probability.
func (e *Examples) Top(probs []float32, i int) (class int, p float64) {
	c := len(probs) / e.N()
	row := probs[i*c : (i+1)*c]
	for k, v := range row {
		if v > row[class] {
			class = k
		}
	}
	return class, float64(row[class])
}

// Right reports whether image i is classified as its label, according to the probabilities CleanProbs or AdvProbs.
func (e *Examples) Right(probs []float32, i int) bool {
	class, _ := e.Top(probs, i)
	return class == int(e.Set.Labels[i])
}

// Pick lists n images for a picture: the first that all networks classify correctly while clean, then, where those are
// too few, the first of the others.
func Pick(n int, all ...*Examples) []int {
	var right, others []int
	for i := range all[0].N() {
		ok := true
		for _, e := range all {
			ok = ok && e.Right(e.CleanProbs, i)
		}
		if ok {
			right = append(right, i)
		} else {
			others = append(others, i)
		}
	}
	picked := append(right, others...)
	return picked[:min(n, len(picked))]
}

// Pixels copies the listed images out of Clean or Adv.
func (e *Examples) Pixels(images []float32, list []int) []float32 {
	size := len(images) / e.N()
	out := make([]float32, 0, len(list)*size)
	for _, i := range list {
		out = append(out, images[i*size:(i+1)*size]...)
	}
	return out
}

// TrueProb is the probability of the right class, mean over the images, according to CleanProbs or AdvProbs.
func (e *Examples) TrueProb(probs []float32) float64 {
	c := len(probs) / e.N()
	sum := 0.0
	for i, y := range e.Set.Labels {
		sum += float64(probs[i*c+int(y)])
	}
	return sum / float64(e.N())
}

// Change says what an attack did to pixels.
type Change struct {
	Images int // that there was need to attack
	// Mean is the mean |adv - clean| over their values, in pixels of [0, 1].
	Mean float64
	// Unchanged and AtLimit are the shares of values that stayed, and that moved by the whole budget.
	Unchanged, AtLimit float64
}

// Change measures the images that the network classified correctly before the attack.
func (e *Examples) Change() (c Change) {
	const rounding = 1e-6
	size := len(e.Clean) / e.N()
	values := 0
	for i := range e.N() {
		if !e.Right(e.CleanProbs, i) {
			continue
		}
		c.Images++
		values += size
		for k := i * size; k < (i+1)*size; k++ {
			d := math.Abs(float64(e.Adv[k]) - float64(e.Clean[k]))
			c.Mean += d
			if d < rounding {
				c.Unchanged++
			}
			if d > e.Eps-rounding {
				c.AtLimit++
			}
		}
	}
	if values > 0 {
		c.Mean, c.Unchanged, c.AtLimit = c.Mean/float64(values), c.Unchanged/float64(values), c.AtLimit/float64(values)
	}
	return c
}
