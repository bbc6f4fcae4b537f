package pixelcode

import "math"

// fitEvery is the share of images that the weights are fitted to: one in fitEvery.
const fitEvery = 4

// ridge keeps the normal equations solvable for classes with few samples.
const ridge = 50

// normal holds the normal equations of one weighted least-squares problem.
type normal struct {
	a [weights][weights]float64
	b [weights]float64
}

// fit finds the prediction weights, least squares per channel and class. A sample counts by the inverse of the
// variation around it, which approximates least absolute error and so the bits spent.
func fit(chunks [][]byte) *weightTable {
	var eq [3][classes]normal
	m := newModel(nil)
	n := 0
	for _, c := range chunks {
		for ; len(c) > 0; c = c[recordLen:] {
			if n++; n%fitEvery != 1 {
				continue
			}
			m.eachSample(c[1:recordLen], func(ch, o, y, x int, v int32) {
				var d [weights]int32
				m.differences(ch, o, &d)
				eq[ch][m.class(ch, o, y, x)].add(&d, v-m.pix[ch][o-1])
				m.pix[ch][o] = v
			})
		}
	}
	w := new(weightTable)
	for ch := range eq {
		for k := range eq[ch] {
			for i, v := range eq[ch][k].solve() {
				w[ch][k][i] = int32(min(max(math.Round(v*one), math.MinInt16), math.MaxInt16))
			}
		}
	}
	return w
}

func (q *normal) add(d *[weights]int32, target int32) {
	sum := 4.0
	for _, v := range d {
		sum += float64(abs(v))
	}
	for i, vi := range d {
		s := float64(vi) / sum
		for j, vj := range d {
			q.a[i][j] += s * float64(vj)
		}
		q.b[i] += s * float64(target)
	}
}

// solve eliminates without pivoting, which the positive definite matrix allows.
func (q *normal) solve() []float64 {
	for i := range q.a {
		q.a[i][i] += ridge
	}
	x := q.b
	for i := range q.a {
		for r := i + 1; r < weights; r++ {
			f := q.a[r][i] / q.a[i][i]
			for c := i; c < weights; c++ {
				q.a[r][c] -= f * q.a[i][c]
			}
			x[r] -= f * x[i]
		}
	}
	for i := weights - 1; i >= 0; i-- {
		for c := i + 1; c < weights; c++ {
			x[i] -= q.a[i][c] * x[c]
		}
		x[i] /= q.a[i][i]
	}
	return x[:]
}
