package cureml

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// TestFGSMRS recomputes the attack of Fast-AT on the host from noise and a gradient at the start, and looks at the ball:
// the step is longer than eps, so that most pixels end at its wall, and some inside.
func TestFGSMRS(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	c := Defaults("fast-at")
	c.Arch = smallConfig("at").Arch
	m, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	eps, alpha := 8./255, 10./255
	if m.Inner.PGD.Steps != 1 || m.Inner.PGD.StepSize != alpha || m.Inner.PGD.Ball.Eps != eps || m.Inner.Mode != nn.Train {
		t.Fatalf("attack %+v in mode %s", m.Inner.PGD, m.Inner.Mode)
	}
	draws := make([]float32, 3*3072)
	rng := data.Stream(1, "attack")
	for i := range 3 {
		m.Inner.PGD.Noise(draws[i*3072:(i+1)*3072], rng)
	}
	noise := make([]float64, len(draws))
	var largest float64
	for i, v := range draws {
		noise[i] = float64(v)
		largest = math.Max(largest, math.Abs(noise[i]))
	}
	if largest > eps*(1+1e-6) || largest < 0.99*eps {
		t.Errorf("the largest of %d starts is %v, want a uniform one up to %v", len(noise), largest, eps)
	}
	got := onGraph(t, m, student, other, b, func(u *Update) []*Node {
		start := m.Inner.begin(&u.Frame, Reshape(Const(u.X.Graph(), noise), 3, 32, 32, 3))
		return append(start, m.Inner.step(&u.Frame, start)...)
	})
	x, err := tensors.CopyFlatData[float64](b.x)
	if err != nil {
		t.Fatal(err)
	}
	start := make([]float64, len(x))
	for i := range x {
		start[i] = min(max(x[i]+noise[i], 0), 1)
	}
	mltest.Close(t, "start", got[0], start, 0, 0)
	b.adv = tensors.FromFlatDataAndDimensions(start, 3, 32, 32, 3)
	grad := onGraph(t, m, student, other, b, func(u *Update) []*Node {
		p := probabilities(u.Student.Forward(nn.Train, u.Adv))
		return Gradient(Neg(ReduceAllSum(Log(ReduceSum(Mul(OneHot(u.Y, 10, p.DType()), p), -1)))), u.Adv)
	})[0]
	want := make([]float64, len(x))
	walls, inside := 0, 0
	for i := range x {
		step := math.Copysign(alpha, grad[i])
		if grad[i] == 0 {
			step = 0
		}
		want[i] = min(max(start[i]+step, x[i]-eps, 0), x[i]+eps, 1)
		switch d := math.Abs(got[1][i] - x[i]); {
		case d > eps+1e-15 || got[1][i] < 0 || got[1][i] > 1:
			t.Fatalf("pixel %d: %v is outside the ball around %v or the box", i, got[1][i], x[i])
		case d > eps-1e-12:
			walls++
		default:
			inside++
		}
	}
	mltest.Close(t, "adversarial images", got[1], want, 1e-15, 0)
	if walls < len(x)/2 || inside < len(x)/20 {
		t.Errorf("%d pixels at the wall of the ball, %d inside", walls, inside)
	}
	m.Inner.PGD.Ball.Eps = 0
	if none := onGraph(t, m, student, other, b, func(u *Update) []*Node { return m.Inner.step(&u.Frame, u.State) })[0]; !slices.Equal(none, x) {
		t.Error("with eps 0 the images change")
	}
}
