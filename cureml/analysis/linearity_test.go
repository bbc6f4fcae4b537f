package analysis

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
)

// firstLogit is a loss that is as linear as the model.
func firstLogit(logits, y *graph.Node) *graph.Node {
	return graph.Squeeze(graph.Slice(logits, graph.AxisRange(), graph.AxisElem(0)), -1)
}

func linearityOf(t *testing.T, m attacks.Model, o LinearityOptions, loss func(logits, y *graph.Node) *graph.Node, images []float32, labels []int32) NetworkLinearity {
	t.Helper()
	l := newLineariser(o, loss)
	defer l.Close()
	n, err := l.measure(t.Context(), &subject{Model: m}, images, labels)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var linearity = LinearityOptions{Eps: .03, Steps: 6, StepSize: .015, H: .5, Profile: 4, Seed: 1}

// A linear function has neither error nor curvature.
func TestLinearityOfLinear(t *testing.T) {
	a := newAffine(1, [3]int{2, 3, 3}, 3)
	images, labels := greyImages(2, attacks.DefaultBatch+1, 18, 3)
	n := linearityOf(t, a.model(mltest.GoBackend(t)), linearity, firstLogit, images, labels)
	slope := 0.0
	for _, w := range a.w {
		slope += math.Abs(float64(w[0]))
	}
	for i := range labels {
		near(t, "loss", n.Loss[i], a.logits(image(images, i, 18), nil)[0], 1e-5)
		near(t, "slope", n.Slope[i], linearity.Eps*slope, 1e-5)
		for what, v := range map[string]float64{"error": n.Error[i], "bend": n.Bend[i], "along": n.Along[i]} {
			if math.Abs(v) > 1e-5 {
				t.Errorf("%s of a linear function: %g", what, v)
			}
		}
	}
	for k := range n.Real {
		near(t, "profile", n.Real[k], n.Linear[k], 1e-5)
	}
	near(t, "end of the profile", n.Linear[3]-n.Linear[0], linearity.Eps*slope, 1e-5)
}

// Half of sum λ x² has the Hessian diag(λ): the error is largest in a corner, half of eps² sum λ, and the gradient's
// sign z has ‖Hz‖² the mean of λ² and zᵀHz the mean of λ.
func TestLinearityOfQuadratic(t *testing.T) {
	lambda := []float32{1, 2, .5, 4, 3, 1.5, 2.5, .25}
	var sum, squares float64
	for _, v := range lambda {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	d := float64(len(lambda))
	m := attacks.Model{
		Backend: mltest.GoBackend(t), Classes: 2, Image: [3]int{2, 4, 1}, Weights: []*tensors.Tensor{tensors.FromValue(lambda)},
		Logits: func(w []*graph.Node, x *graph.Node) *graph.Node {
			flat := graph.Reshape(x, x.Shape().Dim(0), -1)
			z := graph.MulScalar(graph.ReduceAndKeep(graph.Mul(graph.ExpandLeftToRank(w[0], 2), graph.Square(flat)), graph.ReduceSum, -1), .5)
			return graph.Concatenate([]*graph.Node{z, graph.Neg(z)}, -1)
		},
	}
	images, labels := greyImages(5, 3, len(lambda), 2)
	n := linearityOf(t, m, linearity, firstLogit, images, labels)
	for i := range labels {
		near(t, "error", n.Error[i], .5*linearity.Eps*linearity.Eps*sum, 2e-3)
		near(t, "bend", n.Bend[i], math.Sqrt(squares/d), 1e-4)
		near(t, "along", n.Along[i], sum/d, 1e-4)
	}
	near(t, "end of the profile above the linear one", n.Real[3]-n.Linear[3], .5*linearity.Eps*linearity.Eps*sum, 2e-3)
}

// The cross-entropy of an affine classifier of two classes is softplus(-m) of the margin m, which is convex: its error is
// that of one of the two ends that m can be moved to. A climb that starts beside the image finds the end that is nearer to
// it, and only climbs from both corners the right one.
func TestLinearityOfSure(t *testing.T) {
	a := newAffine(3, [3]int{2, 2, 3}, 2)
	for i := range a.w {
		for k := range a.w[i] {
			a.w[i][k] *= 3
		}
	}
	images, labels := greyImages(4, 12, 12, 2)
	o := linearity
	o.Eps, o.StepSize = .2, .1
	n := linearityOf(t, a.model(mltest.GoBackend(t)), o, attacks.CrossEntropy, images, labels)
	reach := 0.0
	for _, w := range a.w {
		reach += o.Eps * math.Abs(float64(w[0])-float64(w[1]))
	}
	softplus := func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
	for i, y := range labels {
		z := a.logits(image(images, i, 12), nil)
		m := z[y] - z[1-y]
		want := 0.0
		for _, end := range []float64{-reach, reach} {
			want = max(want, softplus(-(m+end))-softplus(-m)+end/(1+math.Exp(m)))
		}
		near(t, "error", n.Error[i], want, 1e-3*want)
	}
}

// The Hessian of the cross-entropy of an affine classifier is W(diag p - ppᵀ)Wᵀ.
func TestCurvatureOfCrossEntropy(t *testing.T) {
	a := newAffine(8, [3]int{2, 2, 2}, 3)
	images, labels := greyImages(9, 4, 8, 3)
	o := linearity
	o.H = .01
	n := linearityOf(t, a.model(mltest.GoBackend(t)), o, attacks.CrossEntropy, images, labels)
	for i, y := range labels {
		z := a.logits(image(images, i, 8), nil)
		p := make([]float64, 3)
		for k := range p {
			p[k] = math.Exp(z[k] - z[y] - crossEntropy(z, y))
		}
		direction, through := make([]float64, 8), make([]float64, 3) // Wᵀz
		for j := range direction {
			g := 0.0
			for k := range p {
				g += p[k] * float64(a.w[j][k])
			}
			direction[j] = sign(g-float64(a.w[j][y])) / math.Sqrt(8)
			for k := range through {
				through[k] += float64(a.w[j][k]) * direction[j]
			}
		}
		mean, squares, along := 0.0, 0.0, 0.0
		for k := range p {
			mean += p[k] * through[k]
		}
		for j := range direction {
			h := 0.0
			for k := range p {
				h += float64(a.w[j][k]) * p[k] * (through[k] - mean)
			}
			squares += h * h
			along += h * direction[j]
		}
		near(t, "bend", n.Bend[i], math.Sqrt(squares), .02)
		near(t, "along", n.Along[i], along, .02)
	}
}
