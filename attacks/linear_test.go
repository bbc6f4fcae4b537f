package attacks

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// linear is a classifier whose distance to the decision boundary is known: four logits f, -f, -f-5 and -f-9 of one
// hyperplane f = w x + b. Near f = 0 the first two compete, and every loss ascends along w or against it.
type linear struct {
	w []float32
	b float32
}

const linearClasses = 4

// newLinear has two weights of the largest size, so that the shortest way in L1 may move either or both: APGD's sparse
// steps, which keep ceil(2k/3) of k values, end at two.
func newLinear(rng *rand.Rand, d int) linear {
	l := linear{w: make([]float32, d)}
	for i := range l.w {
		l.w[i] = float32(rng.NormFloat64())
	}
	if size := func(i int) float32 { return max(l.w[i], -l.w[i]) }; d > 1 {
		order := make([]int, d)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int { return cmp.Compare(size(j), size(i)) })
		l.w[order[1]] = float32(math.Copysign(float64(size(order[0])), float64(l.w[order[1]])))
	}
	for _, w := range l.w {
		l.b -= w / 2
	}
	return l
}

func (l linear) model(backend compute.Backend, image [3]int) Model {
	return Model{
		Backend: backend, Classes: linearClasses, Image: image,
		Weights: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(l.w, len(l.w), 1), tensors.FromScalar(l.b)},
		Logits: func(w []*Node, x *Node) *Node {
			f := Add(Dot(Reshape(x, x.Shape().Dim(0), -1), w[0]).MatMul(), w[1])
			return Concatenate([]*Node{f, Neg(f), AddScalar(Neg(f), -5), AddScalar(Neg(f), -9)}, -1)
		},
	}
}

// value is f at an image.
func (l linear) value(x []float32) float64 {
	f := float64(l.b)
	for i, v := range x {
		f += float64(l.w[i]) * float64(v)
	}
	return f
}

// distance of an image to the boundary: |f| / |w|_q with the dual norm q. The box is ignored, except in L1, where few
// pixels move far: the largest weights go first, each up to the wall.
func (l linear) distance(x []float32, norm Norm) float64 {
	var l1, squares float64
	for _, w := range l.w {
		l1 += math.Abs(float64(w))
		squares += float64(w) * float64(w)
	}
	switch norm {
	case Linf:
		return math.Abs(l.value(x)) / l1
	case L1:
		return l.distanceL1(x)
	}
	return math.Abs(l.value(x)) / math.Sqrt(squares)
}

func (l linear) distanceL1(x []float32) (distance float64) {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(math.Abs(float64(l.w[j])), math.Abs(float64(l.w[i]))) })
	left, downhill := math.Abs(l.value(x)), l.value(x) > 0
	for _, i := range order {
		room := float64(x[i])
		if (l.w[i] > 0) != downhill {
			room = 1 - room
		}
		slope := math.Abs(float64(l.w[i]))
		if slope*room >= left {
			return distance + left/slope
		}
		left -= slope * room
		distance += room
	}
	return math.Inf(1)
}

// greyImages are near the middle of the box, so that no boundary is further than a wall; labels are the predictions.
func (l linear) greyImages(rng *rand.Rand, n int) ([]uint8, []int32) {
	d := len(l.w)
	images, labels := make([]uint8, n*d), make([]int32, n)
	for i := range images {
		images[i] = uint8(118 + rng.IntN(20))
	}
	for i := range labels {
		if l.value(floats(images[i*d:(i+1)*d])) < 0 {
			labels[i] = 1
		}
	}
	return images, labels
}

func floats(images []uint8) []float32 {
	x := make([]float32, len(images))
	for i, v := range images {
		x[i] = float32(v) / 255
	}
	return x
}

// linearAttacks are fixed-budget attacks in all losses and starts.
func linearAttacks(ball Ball) []Attack {
	p := PGD{Ball: ball, Steps: 8, StepSize: ball.Eps / 2, Kappa: 50}
	with := func(name, loss string, start Start, restarts int, best bool) Attack {
		p.Loss, p.Start, p.Restarts, p.Best = loss, start, restarts, best
		return Attack{Name: name, Method: p}
	}
	fgsm := PGD{Ball: ball, Steps: 1, StepSize: ball.Eps, Loss: "ce"}
	return []Attack{
		{Name: "fgsm", Method: fgsm},
		with("ce", "ce", UniformUnclipped, 1, false),
		with("kl", "kl", Normal, 1, false),
		with("cw", "cw", None, 1, false),
		with("cw, best of 2", "cw", Uniform, 2, true),
		with("dlr, best", "dlr", Uniform, 1, true),
	}
}

// TestLinearModelsInClosedForm checks that attacks break an image exactly when their budget exceeds its true distance:
// all images up to eps/1.01, none beyond eps. The KL attack climbs away from the clean prediction, not from the label,
// and may move deeper into the class, so it is only asked to break nothing it cannot.
func TestLinearModelsInClosedForm(t *testing.T) {
	backend := goBackend(t)
	const n = 16
	for _, image := range [][3]int{{2, 3, 3}, {6, 1, 1}, {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(7, uint64(d)))
		l := newLinear(rng, d)
		images, labels := l.greyImages(rng, n)
		model := l.model(backend, image)
		for _, norm := range []Norm{Linf, L2, L1} {
			distances := make([]float64, n)
			for i := range distances {
				distances[i] = l.distance(floats(images[i*d:(i+1)*d]), norm)
			}
			order := slices.Sorted(slices.Values(distances))
			for size, eps := range map[int]float64{1: 1.0101 * order[4], 7: 1.0101 * order[8], 64: 1.0101 * order[12]} {
				report := evaluate(t, model, images, labels, linearAttacks(Ball{norm, eps}), Options{Batch: size, KeepAdv: true})
				if report.Clean.Accuracy != 1 {
					t.Fatalf("clean accuracy %g, want 1", report.Clean.Accuracy)
				}
				for _, r := range report.Attacks {
					where := fmt.Sprintf("%v, %s eps %.4g, batch %d, %s", image, norm, eps, size, r.Name)
					for i, robust := range r.RobustFlags {
						switch {
						case !robust && distances[i] > eps*(1+1e-5):
							t.Errorf("%s: broke image %d at distance %.6g", where, i, distances[i])
						case robust && distances[i]*1.01 <= eps && r.Name != "kl":
							t.Errorf("%s: failed to break image %d at distance %.6g", where, i, distances[i])
						}
						checkReturned(t, where, Ball{norm, eps}, r.Adv[i*d:(i+1)*d], floats(images[i*d:(i+1)*d]))
						wrong := (l.value(r.Adv[i*d:(i+1)*d]) < 0) != (labels[i] == 1)
						if math.Abs(l.value(r.Adv[i*d:(i+1)*d])) > 1e-5 && robust == wrong {
							t.Errorf("%s: image %d: robust = %v, but the returned image is misclassified = %v", where, i, robust, wrong)
						}
					}
				}
			}
		}
	}
}

// checkReturned checks norm and box of a returned image without the package's own functions.
func checkReturned(t *testing.T, where string, ball Ball, adv, x []float32) {
	t.Helper()
	var size float64
	for i, v := range adv {
		if !(v >= 0 && v <= 1) {
			t.Fatalf("%s: pixel %d is %g", where, i, v)
		}
		delta := float64(v) - float64(x[i])
		switch ball.Norm {
		case Linf:
			size = math.Max(size, math.Abs(delta))
		case L2:
			size = math.Hypot(size, delta)
		case L1:
			size += math.Abs(delta)
		}
	}
	if size > ball.Eps*(1+1e-6)+1e-7 {
		t.Fatalf("%s: perturbation of size %.9g, eps %.9g", where, size, ball.Eps)
	}
}

// evaluate is Evaluate for input that is valid.
func evaluate(t testing.TB, model Model, images []uint8, labels []int32, list []Attack, opt Options) *Report {
	t.Helper()
	report, err := Evaluate(t.Context(), model, images, labels, list, opt)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// linearCase is images before a linear model, how far from its boundary they are in a norm, a ball that reaches just
// further than half of them, and a batch size.
type linearCase struct {
	Model
	name      string
	images    []uint8
	labels    []int32
	distances []float64
	ball      Ball
	batch     int
}

// linearCases are three shapes of n images, in three norms.
func linearCases(t *testing.T, n int) (cases []linearCase) {
	backend := goBackend(t)
	for shape, image := range [][3]int{{2, 3, 3}, {6, 1, 1}, {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(7, uint64(d)))
		l := newLinear(rng, d)
		images, labels := l.greyImages(rng, n)
		for k, norm := range []Norm{Linf, L2, L1} {
			c := linearCase{Model: l.model(backend, image), images: images, labels: labels, batch: []int{1, 7, 64}[(shape+k)%3]}
			for i := range n {
				c.distances = append(c.distances, l.distance(c.x(i), norm))
			}
			c.ball = Ball{norm, 1.0101 * slices.Sorted(slices.Values(c.distances))[n/2]}
			c.name = fmt.Sprintf("%v, %s eps %.4g, batch %d", image, norm, c.ball.Eps, c.batch)
			cases = append(cases, c)
		}
	}
	return cases
}

// x is image i.
func (c linearCase) x(i int) []float32 {
	d := c.pixels()
	return floats(c.images[i*d : (i+1)*d])
}

// check evaluates attacks: each breaks an image exactly when eps exceeds its distance by 1 %. visit gets every image
// returned.
func (c linearCase) check(t *testing.T, list []Attack, visit func(where string, r *Result, i int, adv []float32)) {
	t.Helper()
	d := c.pixels()
	for _, r := range evaluate(t, c.Model, c.images, c.labels, list, Options{Batch: c.batch, KeepAdv: true}).Attacks {
		where := c.name + ", " + r.Name
		for i, robust := range r.RobustFlags {
			switch {
			case !robust && c.distances[i] > c.ball.Eps*(1+1e-5):
				t.Errorf("%s: broke image %d at distance %.6g", where, i, c.distances[i])
			case robust && c.distances[i]*1.01 <= c.ball.Eps:
				t.Errorf("%s: failed to break image %d at distance %.6g", where, i, c.distances[i])
			}
			visit(where, r, i, r.Adv[i*d:(i+1)*d])
		}
	}
}
