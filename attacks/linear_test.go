package attacks

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// linear is a classifier of K hyperplanes, z_k = w_k x + b_k, whose distances to the decision boundary are known.
type linear struct {
	w [][]float64 // [K][d]
	b []float64
}

// newLinear draws hyperplanes near the centre of the box, and images near the centre, so that the boundary is closer
// than the walls of the box.
func newLinear(rng *rand.Rand, classes, d int) linear {
	l := linear{make([][]float64, classes), make([]float64, classes)}
	for k := range classes {
		l.w[k] = make([]float64, d)
		for i := range d {
			l.w[k][i] = float64(float32(rng.NormFloat64()))
			l.b[k] -= l.w[k][i] * 0.5
		}
		l.b[k] = float64(float32(l.b[k] + 0.05*rng.NormFloat64()))
	}
	return l
}

func (l linear) model(backend compute.Backend, image [3]int) Model {
	d, classes := image[0]*image[1]*image[2], len(l.w)
	weights, bias := make([]float32, d*classes), make([]float32, classes)
	for k := range classes {
		bias[k] = float32(l.b[k])
		for i := range d {
			weights[i*classes+k] = float32(l.w[k][i])
		}
	}
	return Model{
		Backend: backend, Classes: classes, Image: image,
		Weights: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(weights, d, classes), tensors.FromValue(bias)},
		Logits: func(w []*Node, x *Node) *Node {
			z := Dot(Reshape(x, x.Shape().Dim(0), -1), w[0]).MatMul()
			return Add(z, ExpandLeftToRank(w[1], 2))
		},
	}
}

// logits of an image.
func (l linear) logits(x []float32) []float64 {
	z := make([]float64, len(l.w))
	for k, w := range l.w {
		z[k] = l.b[k]
		for i, v := range x {
			z[k] += w[i] * float64(v)
		}
	}
	return z
}

func (l linear) predict(x []float32) int32 {
	z := l.logits(x)
	best := 0
	for k := range z {
		if z[k] > z[best] {
			best = k
		}
	}
	return int32(best)
}

// distance is the smallest perturbation that changes the prediction, f_k/|w_k - w_y|_q over the other classes with the
// dual norm q, and the class it leads to. The box is ignored.
func (l linear) distance(x []float32, norm Norm) (float64, int) {
	z, y := l.logits(x), int(l.predict(x))
	best, class := math.Inf(1), -1
	for k := range z {
		if k == y {
			continue
		}
		var dual float64
		for i := range x {
			diff := l.w[k][i] - l.w[y][i]
			if norm == Linf {
				dual += math.Abs(diff)
			} else {
				dual += diff * diff
			}
		}
		if norm == L2 {
			dual = math.Sqrt(dual)
		}
		if r := (z[y] - z[k]) / dual; r < best {
			best, class = r, k
		}
	}
	return best, class
}

// greyImages are images near the middle of the box, flat, and their labels by the model.
func (l linear) greyImages(rng *rand.Rand, n, d int) ([]uint8, []int32) {
	images, labels := make([]uint8, n*d), make([]int32, n)
	x := make([]float32, d)
	for i := range n {
		for k := range d {
			v := uint8(118 + rng.IntN(20))
			images[i*d+k], x[k] = v, float32(v)/255
		}
		labels[i] = l.predict(x)
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

// TestLinearModelsInClosedForm attacks every image with a budget just above and just below its true distance. Every
// attack must break all in the first case and none in the second.
func TestLinearModelsInClosedForm(t *testing.T) {
	backend := goBackend(t)
	const n, classes = 9, 4
	for _, image := range [][3]int{{2, 3, 3}, {6, 1, 1}, {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(7, uint64(d)))
		l := newLinear(rng, classes, d)
		images, labels := l.greyImages(rng, n, d)
		model := l.model(backend, image)
		for _, norm := range []Norm{Linf, L2} {
			for _, batch := range []int{1, 4, 64} {
				for i := range n {
					one, y := images[i*d:(i+1)*d], labels[i:i+1]
					r, _ := l.distance(floats(one), norm)
					if r < 1e-4 {
						continue
					}
					for _, factor := range []float64{0.99, 1.01} {
						budget := Ball{norm, factor * r}
						// The image stands among copies, so that batches are full.
						report := evaluate(t, model, repeat(one, 5), repeat(y, 5), linearAttacks(budget), Options{Batch: batch, Seed: int64(i)})
						for _, result := range report.Attacks {
							if got, want := result.RobustAccuracy, boolean(factor < 1); got != want {
								t.Errorf("%v, batch %d, image %d, %s %s at %g of the distance %g: robust accuracy %g, want %g",
									image, batch, i, norm, result.Name, factor, r, got, want)
							}
						}
					}
				}
			}
		}
	}
}

// linearAttacks are fixed-budget attacks that must be exact on a linear model: the margin's gradient points to the
// nearest class from the start, or turns to it soon.
func linearAttacks(ball Ball) []Attack {
	pgd := func(name, loss string, start Start, steps int, best bool, restarts int) Attack {
		return Attack{Name: name, Method: PGD{
			Ball: ball, Steps: steps, StepSize: 2.5 * ball.Eps / float64(steps), Start: start,
			Loss: loss, Kappa: 50, Best: best, Restarts: restarts,
		}}
	}
	return []Attack{
		pgd("cw", "cw", None, 40, false, 1),
		pgd("cw uniform best", "cw", Uniform, 40, true, 3),
		pgd("ce uniform", "ce", UniformUnclipped, 40, false, 3),
		pgd("dlr best", "dlr", Normal, 40, true, 3),
	}
}

func boolean(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func repeat[T any](values []T, times int) (all []T) {
	for range times {
		all = append(all, values...)
	}
	return all
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
