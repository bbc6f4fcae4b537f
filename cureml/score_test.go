package cureml

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// distance64 is d(t, p) written out.
func distance64(divergence string, t, p []float64) (d float64) {
	for k := range t {
		switch {
		case divergence == "lse":
			d += (p[k] - t[k]) * (p[k] - t[k])
		case t[k] > 0:
			d += t[k] * (math.Log(t[k]) - math.Log(p[k]))
		}
	}
	return d
}

// label64 is a label smoothed by s.
func label64(y int32, s float64) []float64 {
	t := make([]float64, 10)
	for k := range t {
		t[k] = s / 9
	}
	t[y] = 1 - s
	return t
}

// TestScoreLosses writes the losses of the three forms out from probabilities, and what their attacks ascend. Bounds are
// the distance of the prediction (1-c, c/9, ..., c/9) from its label.
func TestScoreLosses(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(6)
	y := b.labels(t)
	for _, name := range []string{"score", "score kl", "score clipped", "score-trades", "score-trades kl", "score-trades clipped",
		"score-trades clip_robust", "score-generated", "score-generated kl", "score-generated clipped"} {
		c := smallMethods()[name]
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		attack := map[string]nn.Mode{"score": nn.Train, "score-trades": nn.Eval, "score-generated": nn.TrainFrozen}[c.Method]
		out := onGraph(t, method, student, student, b, func(u *Update) []*Node {
			adv := u.State[0]
			pass := func(mode nn.Mode, x *Node) *Node { return fork(u.Student).Forward(mode, x) }
			nodes := []*Node{pass(nn.Train, u.X), pass(nn.Train, adv), pass(attack, u.X), pass(attack, adv)}
			nodes = append(nodes, method.Inner.objective(&u.Frame, nodes[3]))
			return append(nodes, logged(method.Update(u))...)
		})
		nat, adv, natAttacked, advAttacked := softmaxRows(out[0]), softmaxRows(out[1]), softmaxRows(out[2]), softmaxRows(out[3])

		s, lambda := c.Score, c.Score.Lambda
		edge := label64(0, s.Clip)
		bound := distance64(s.Divergence, label64(0, 0), edge)
		relu := func(v, b float64) float64 { return math.Max(v-b, 0) }
		var loss, natural, robust float64
		clipped := 0
		ascended := make([]float64, len(y))
		for i := range y {
			n, r := distance64(s.Divergence, label64(y[i], s.Smoothing), nat[i]), distance64(s.Divergence, nat[i], adv[i])
			var l float64
			switch {
			case c.Method == "score":
				l = relu(distance64(s.Divergence, label64(y[i], s.Smoothing), adv[i]), bound)
				ascended[i] = distance64(s.Divergence, label64(y[i], 0), advAttacked[i])
				if l == 0 {
					clipped++
				}
			case c.Method == "score-trades" && !s.ClipRobust:
				l = relu(n+lambda*r, bound)
				if l == 0 {
					clipped++
				}
			case c.Method == "score-trades":
				r = relu(r, bound)
				l = n + lambda*r
			default:
				r = relu(r, s.Clip)
				l = n + lambda*r
			}
			if c.Method != "score" {
				ascended[i] = distance64(s.Divergence, natAttacked[i], advAttacked[i])
				if r == 0 {
					clipped++
				}
			}
			loss, natural, robust = loss+l/6, natural+n/6, robust+r/6
		}
		mltest.Close(t, name+": objective", out[4], ascended, 1e-12, 1e-9)
		mltest.Close(t, name+": loss", out[5], []float64{loss}, 1e-12, 0)
		if c.Method != "score" {
			mltest.Close(t, name+": natural", out[6], []float64{natural}, 1e-12, 0)
			mltest.Close(t, name+": robust", out[7], []float64{robust}, 1e-12, 1e-9)
		}
		if cut := name == "score clipped" || name == "score-trades clipped" || name == "score-trades clip_robust" || name == "score-generated clipped"; cut && (clipped == 0 || clipped == len(y)) {
			t.Errorf("%s: %d of %d images are below the bound, want some above and some below", name, clipped, len(y))
		}
	}
}

// TestScoreStart: the start of score-trades is clipped to the pixel box, unless the config names a start.
func TestScoreStart(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(2)
	for from, want := range map[string]float64{"": 1, "normal": 1.5} {
		c := smallConfig("score-trades")
		c.Attack.From = from
		m := ScoreTrades(c)
		out := onGraph(t, m, student, student, b, func(u *Update) []*Node {
			return []*Node{ReduceAllMax(m.Inner.begin(&u.Frame, OneMinus(AddScalar(u.X, -0.5)))[0])}
		})
		mltest.Close(t, "largest pixel from "+from, out[0], []float64{want}, 1e-15, 0)
	}
}
