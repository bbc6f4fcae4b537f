package analysis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
)

// affine is a classifier z = Wᵀx + b of small images, of which everything is known.
type affine struct {
	image   [3]int
	w       [][]float32 // [D][C]
	b       []float32   // [C]
	classes int
}

func newAffine(seed uint64, image [3]int, classes int) affine {
	rng := rand.New(rand.NewPCG(seed, 5))
	a := affine{image: image, w: make([][]float32, image[0]*image[1]*image[2]), b: make([]float32, classes), classes: classes}
	for i := range a.w {
		a.w[i] = make([]float32, classes)
		for k := range a.w[i] {
			a.w[i][k] = float32(rng.NormFloat64())
		}
	}
	for k := range a.b {
		a.b[k] = float32(rng.NormFloat64())
	}
	return a
}

func (a affine) model(device compute.Backend) attacks.Model {
	return attacks.Model{
		Backend: device, Classes: a.classes, Image: a.image,
		Weights: []*tensors.Tensor{tensors.FromValue(a.w), tensors.FromValue(a.b)},
		Logits: func(w []*Node, x *Node) *Node {
			return Add(MatMul(Reshape(x, x.Shape().Dim(0), -1), w[0]), ExpandLeftToRank(w[1], 2))
		},
	}
}

// subject is the classifier as networks are seen.
func (a affine) subject(device compute.Backend) *subject {
	return &subject{Network: Network{Name: "affine"}, Model: a.model(device), form: "affine"}
}

// logits of one image, with W + shift.
func (a affine) logits(x []float64, shift func(i, k int) float64) []float64 {
	z := make([]float64, a.classes)
	for k := range z {
		z[k] = float64(a.b[k])
		for i, v := range x {
			w := float64(a.w[i][k])
			if shift != nil {
				w += shift(i, k)
			}
			z[k] += w * v
		}
	}
	return z
}

// crossEntropy of logits, in nats.
func crossEntropy(z []float64, y int32) float64 {
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(v - z[y])
	}
	return math.Log(sum)
}

// greyImages are n images with values around the middle of the box, and labels in turn.
func greyImages(seed uint64, n, d, classes int) (images []float32, labels []int32) {
	rng := rand.New(rand.NewPCG(seed, 6))
	for i := range n {
		for range d {
			images = append(images, .4+.2*rng.Float32())
		}
		labels = append(labels, int32(i%classes))
	}
	return images, labels
}

// image i of images of d values.
func image(images []float32, i, d int) []float64 {
	x := make([]float64, d)
	for k := range x {
		x[k] = float64(images[i*d+k])
	}
	return x
}

// near fails the test unless got is want within a relative tolerance.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(math.Abs(want), 1e-3)) {
		t.Errorf("%s: got %.8g, want %.8g", what, got, want)
	}
}

// values are the numbers of a tensor.
func values(t testing.TB, x *tensors.Tensor) []float32 {
	t.Helper()
	v, err := tensors.CopyFlatData[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ q, want float64 }{{0, 1}, {.5, 3}, {.95, 5}, {1, 5}, {.1, 1}, {.7, 4}} {
		if got := quantile([]float64{5, 3, 1, 2, 4}, c.q); got != c.want {
			t.Errorf("quantile %g of 1 to 5: got %g, want %g", c.q, got, c.want)
		}
	}
	if got := quantile([]float64{2, 1}, .5); got != 1 {
		t.Errorf("median of 1 and 2: got %g, want the lower one", got)
	}
	if got, want := fmt.Sprint(evenly(2, 5)), "[-2 -1 0 1 2]"; got != want {
		t.Errorf("evenly: got %s, want %s", got, want)
	}
	if err := allFinite("value", []float64{0, math.Inf(1)}); err == nil {
		t.Error("an infinite value: got no error")
	}
}
