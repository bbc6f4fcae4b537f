package cureml

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// squeezed64 is what squeeze training makes of the logits of three candidates (clean, collaborative, adversarial), in
// plain Go: who is upper and lower of each image, and their distributions.
type squeezed64 struct {
	upper, lower   []int
	pUpper, pLower [][]float64
}

func squeeze64(candidates [3][]float64, y []int32) (s squeezed64) {
	for i := range y {
		var p [3][]float64
		upper, lower := 0, 0
		for k, z := range candidates {
			p[k] = softmax64(z[10*i : 10*i+10])
			if p[k][y[i]] < p[upper][y[i]] {
				upper = k
			}
			if p[k][y[i]] > p[lower][y[i]] {
				lower = k
			}
		}
		s.upper, s.lower = append(s.upper, upper), append(s.lower, lower)
		s.pUpper, s.pLower = append(s.pUpper, p[upper]), append(s.pLower, p[lower])
	}
	return s
}

func kl64(p, q []float64) (sum float64) {
	for k := range p {
		sum += p[k] * (math.Log(p[k]) - math.Log(q[k]))
	}
	return sum
}

// flat64 joins rows of distributions to [B, 10].
func flat64(rows [][]float64) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(slices.Concat(rows...), len(rows), 10)
}

// TestSTAttack follows the search round by round with another graph, where the host chooses upper and lower points and
// their targets, and the points are leaves within the batches that they come from.
func TestSTAttack(t *testing.T) {
	const n, rounds = 8, 4
	f := newFriends(t, n)
	student := f.student
	c := smallConfig("st-at")
	c.Attack.Steps = rounds
	m, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	labels := tensors.FromFlatDataAndDimensions(f.y, n)
	states := compiled64(t, student, func(net *nn.Net, in []*Node) []*Node {
		u := testUpdate(m, net, net, in)
		state := m.Inner.begin(&u.Frame, in[1])
		all := slices.Clone(state)
		for range rounds {
			state = m.Inner.step(&u.Frame, state)
			all = append(all, state...)
		}
		return all
	})(images64(f.x), images64(f.normal), labels)

	logits := compiled64(t, student, func(net *nn.Net, in []*Node) []*Node {
		return []*Node{net.Forward(nn.TrainFrozen, in[0])}
	})
	// in: the candidates, upper and lower points, which candidates these are, one-hot [B, 3], and the other one's
	// distribution as target of each.
	gradients := compiled64(t, student, func(net *nn.Net, in []*Node) []*Node {
		upper, lower, isUpper, isLower := in[3], in[4], in[5], in[6]
		wide := func(mask *Node, k int) *Node {
			return BroadcastToShape(Reshape(SliceAxis(mask, 1, AxisElem(k)), n, 1, 1, 1), upper.Shape())
		}
		var zUpper, zLower *Node
		for k := range 3 {
			u, l := wide(isUpper, k), wide(isLower, k)
			batch := Add(Add(Mul(u, upper), Mul(l, lower)), Mul(OneMinus(Add(u, l)), in[k]))
			z := net.Forward(nn.TrainFrozen, batch)
			partU, partL := Mul(SliceAxis(isUpper, 1, AxisElem(k)), z), Mul(SliceAxis(isLower, 1, AxisElem(k)), z)
			if k == 0 {
				zUpper, zLower = partU, partL
			} else {
				zUpper, zLower = Add(zUpper, partU), Add(zLower, partL)
			}
		}
		cross := func(p, z *Node) *Node { return Neg(ReduceAllSum(Mul(p, Log(Softmax(z, -1))))) } // KL but for a constant
		return Gradient(Add(cross(in[8], zUpper), cross(in[7], zLower)), upper, lower)
	})
	image := func(v []float64, i int) []float64 { return v[3072*i : 3072*i+3072] }
	var chosen [2][3]int
	for round := range rounds {
		candidates := [3][]float64{f.x, states[2*round+1], states[2*round]}
		var z [3][]float64
		var in []any
		for k, x := range candidates {
			z[k] = logits(images64(x))[0]
			in = append(in, images64(x))
		}
		s := squeeze64(z, f.y)
		var points [2][]float64
		var masks [2][]float64
		for i := range n {
			for side, k := range []int{s.upper[i], s.lower[i]} {
				chosen[side][k]++
				points[side] = append(points[side], image(candidates[k], i)...)
				mask := make([]float64, 3)
				mask[k] = 1
				masks[side] = append(masks[side], mask...)
			}
			if s.upper[i] == s.lower[i] {
				t.Fatalf("round %d: image %d has one candidate only: the test needs two", round, i)
			}
		}
		in = append(in, images64(points[0]), images64(points[1]),
			tensors.FromFlatDataAndDimensions(masks[0], n, 3), tensors.FromFlatDataAndDimensions(masks[1], n, 3), flat64(s.pUpper), flat64(s.pLower))
		for side, grad := range gradients(in...) {
			want := slices.Clone(points[side])
			for i, g := range grad {
				if g != 0 {
					want[i] += math.Copysign(c.Attack.StepSize, g)
				}
				want[i] = min(max(want[i], f.x[i]-c.Attack.Eps, 0), f.x[i]+c.Attack.Eps, 1)
			}
			got, off := states[2*round+2+side], 0
			for i := range got {
				if math.Abs(got[i]-want[i]) > 1e-12 {
					off++
				}
			}
			if off > 0 {
				t.Errorf("round %d, side %d: %d of %d pixels differ", round, side, off, len(got))
			}
		}
	}
	for k := range 3 {
		if chosen[0][k] == 0 || chosen[1][k] == 0 {
			t.Errorf("candidates were chosen %v times: the test needs each on both sides", chosen)
		}
	}
}

// TestSTGradient compares the loss with one from probabilities, and its gradient with central differences of the same
// loss, where targets and choices stay those of the weights in the middle, as stop-gradients do.
func TestSTGradient(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(6)
	c := smallConfig("st-at")
	m, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	// The collaborative images are the adversarial ones, mirrored about the clean ones.
	mirror := func(u *Update) { u.State[1] = ClipScalar(Sub(MulScalar(u.X, 2), u.Adv), 0, 1) }
	got := onGraph(t, m, student, student, b, func(u *Update) []*Node {
		mirror(u)
		o := m.Update(u)
		return append([]*Node{o.Log[0].Value}, o.Grads...)
	})
	logits := func(net net64) (z [3][]float64) {
		copy(z[:], onGraph(t, m, net, net, b, func(u *Update) []*Node {
			mirror(u)
			return []*Node{u.Student.Forward(nn.TrainFrozen, u.X), u.Student.Forward(nn.TrainFrozen, u.State[1]), u.Student.Forward(nn.TrainFrozen, u.Adv)}
		}))
		return z
	}
	y, err := tensors.CopyFlatData[int32](b.y)
	if err != nil {
		t.Fatal(err)
	}
	base := squeeze64(logits(student), y)
	loss := func(net net64) (sum float64) {
		z := logits(net)
		for i := range y {
			row := func(k int) []float64 { return softmax64(z[k][10*i : 10*i+10]) }
			gap := (kl64(base.pLower[i], row(base.upper[i])) + kl64(base.pUpper[i], row(base.lower[i]))) / 2
			sum += (-math.Log(row(0)[y[i]]) + 6*gap) / float64(len(y))
		}
		return sum
	}
	mltest.Close(t, "loss", got[0], []float64{loss(student)}, 0, 1e-12)

	const h = 1e-7 // a larger step crosses a kink of a ReLU
	rng := data.Stream(5, "direction")
	plus, minus := student, student
	plus.values, minus.values = slices.Clone(student.values), slices.Clone(student.values)
	var want float64
	g := 1
	for i, tensor := range student.list {
		if !tensor.Kind.Trainable() {
			continue
		}
		v, err := tensors.CopyFlatData[float64](student.values[i])
		if err != nil {
			t.Fatal(err)
		}
		up, down := make([]float64, len(v)), make([]float64, len(v))
		for k := range v {
			d := rng.NormFloat64()
			up[k], down[k] = v[k]+h*d, v[k]-h*d
			want += d * got[g][k]
		}
		plus.values[i], minus.values[i] = tensors.FromFlatDataAndDimensions(up, tensor.Shape...), tensors.FromFlatDataAndDimensions(down, tensor.Shape...)
		g++
	}
	if differences := (loss(plus) - loss(minus)) / (2 * h); math.Abs(differences-want) > 1e-6*math.Abs(want) {
		t.Errorf("differences give %v along the direction, the gradient %v", differences, want)
	}
	sides := slices.Concat(base.upper, base.lower)
	for k := range 3 {
		if !slices.Contains(sides, k) {
			t.Errorf("candidate %d is nobody's upper or lower point: the test needs all", k)
		}
	}
}

// TestSTEpsZero: in a ball without content both searches return the images.
func TestSTEpsZero(t *testing.T) {
	f := newFriends(t, 3)
	for _, state := range f.attack(t, f.config("st-at", func(c *Config) { c.Attack.Eps = 0 }))(0) {
		if !slices.Equal(state, f.x) {
			t.Error("eps 0 changes images")
		}
	}
}

// TestSecondStart: the collaborative search starts like the adversarial one, with noise of its own.
func TestSecondStart(t *testing.T) {
	f := newFriends(t, 6)
	for _, from := range []string{"", "uniform", "uniform-unclipped"} {
		c := f.config("st-at", func(c *Config) { c.Attack.From = from })
		m, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		noise := f.noise(m)
		starts := compiled64(t, f.student, func(net *nn.Net, in []*Node) []*Node {
			u := testUpdate(m, net, net, in)
			return m.Inner.begin(&u.Frame, in[1])
		})(images64(f.x), images64(noise), tensors.FromFlatDataAndDimensions(f.y, len(f.y)))
		var squares, product, inside, largest float64
		var outside bool
		for i, x := range f.x {
			if v := starts[1][i]; v < 0 || v > 1 {
				outside = true
			}
			if x < friendsEps || x > 1-friendsEps {
				continue
			}
			d := starts[1][i] - x
			inside++
			squares += d * d
			product += d * noise[i]
			largest = max(largest, math.Abs(d))
		}
		deviation := 0.001
		if m.Inner.PGD.Start != attacks.Normal {
			deviation = friendsEps / math.Sqrt(3)
			if largest > friendsEps || largest < 0.999*friendsEps {
				t.Errorf("%s: the largest offset is %v, eps %v", from, largest, friendsEps)
			}
		}
		if got := math.Sqrt(squares / inside); math.Abs(got/deviation-1) > 0.03 { // about 5 standard deviations
			t.Errorf("%s: offsets have deviation %v, want %v", from, got, deviation)
		}
		if got := product / inside / (deviation * deviation); math.Abs(got) > 5/math.Sqrt(inside) {
			t.Errorf("%s: correlation %v with the other start", from, got)
		}
		if outside != (from != "uniform") {
			t.Errorf("%s: pixels leave [0, 1]: %v", from, outside)
		}
	}
}

// TestSTResumes: the second start of a resumed run is that of an uninterrupted one.
func TestSTResumes(t *testing.T) { resumes(t, smallConfig("st-at"), 4) }
