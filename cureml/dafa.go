package cureml

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// DafaConfig holds DAFA's own parameters.
type DafaConfig struct {
	// WarmupEpochs trains by TRADES; the last of them measures how classes are confused. 0 is 70 of 110 epochs, in
	// proportion to the length of the run.
	WarmupEpochs int     `json:"warmup_epochs"`
	Lambda       float64 `json:"lambda"` // λ, how far class weights move from 1
	Beta         float64 `json:"beta"`   // β of TRADES
}

// tuneDafa is the published recipe for CIFAR-10; CIFAR-100 and STL-10 have λ = 1.5.
func tuneDafa(c *Config) { c.Dafa = DafaConfig{Lambda: 1, Beta: 6} }

func checkDafa(c Config) error {
	if warmup := c.dafaWarmup(); warmup < 1 || warmup >= c.Epochs {
		return fmt.Errorf("cureml: dafa.warmup_epochs %d: want 1 or more, and fewer than the %d epochs", warmup, c.Epochs)
	}
	return first(weight("dafa.lambda", c.Dafa.Lambda), weight("dafa.beta", c.Dafa.Beta))
}

func (c Config) dafaWarmup() int {
	if c.Dafa.WarmupEpochs != 0 {
		return c.Dafa.WarmupEpochs
	}
	return max(1, int(math.Round(float64(c.Epochs)*70/110)))
}

// Cells and scalars of DAFA.
const (
	dafaSums    = "class_probabilities" // [C, C]: row i sums p(x') over the images of class i
	dafaCounts  = "class_images"        // [C]
	dafaCollect = "collect"             // 1 while the cells collect
	dafaWeigh   = "weigh"               // 1 once the class weights are in force
)

// DAFA is distance-aware fair adversarial training (Lee et al., ICLR 2024; rucy74/DAFA losses.py, utils.py, train.py).
// After a warm-up by TRADES, class y has the weight w_y:
//
//	min mean w_y·CE(f(x), y) + β·mean KL(p(x) ‖ p(x')),   x' = argmax KL(p(x) ‖ p(x')) from x + 0.001·N(0,1), mode E,
//
// in the ball of w_y·eps with steps of w_y·(step size). Passes in mode T: x', x; gradients flow through both sides of the
// KL. The last epoch of the warm-up collects M_ij, the mean probability of class j over the x' of class i (of the training
// pass, before the update); then
//
//	w_i = 1 + λ·Σ_j≠i (M_ij·M_jj where M_ii < M_jj, else -M_ji·M_ii),
//
// so that what a weak class gains, the strong class that it is taken for loses. A weight below 0, which only a collapsed
// network gets, counts as 0 here; the released code would turn the ball inside out. That code's PGD-AT variant takes back
// its class margins in the same step, and is not offered.
func DAFA(c Config) Method {
	pgd := c.Attack.pgd("kl", attacks.Normal)
	inner := &Inner{PGD: pgd, Mode: c.Attack.mode(nn.Eval)}
	inner.Context = func(f *Frame) []*Node { return append(natural(f), c.Dafa.weights(f)) }
	inner.Step = func(f *Frame, state []*Node) []*Node {
		w := f.Context[1]
		return []*Node{pgd.StepEach(f.X, state[0], MulScalar(w, pgd.Ball.Eps), MulScalar(w, pgd.StepSize), func(adv *Node) *Node {
			return inner.objective(f, f.Student.Forward(inner.Mode, adv))
		})}
	}
	warmup, classes := c.dafaWarmup(), c.Arch.Classes
	return Method{
		Name: "dafa", Inner: inner,
		Cells: []Cell{{Name: dafaSums, Shape: []int{classes, classes}}, {Name: dafaCounts, Shape: []int{classes}}},
		Scalars: []Scheduled{
			{dafaCollect, func(p Progress) float64 { return indicator(p.Epoch() == warmup-1) }},
			{dafaWeigh, func(p Progress) float64 { return indicator(p.Epoch() >= warmup) }},
		},
		Update: func(u *Update) Outcome {
			adv := u.Student.Forward(nn.Train, u.Adv)
			nat := u.Student.Forward(nn.Train, u.X)
			w := u.Context[1]
			ce, kl := mean(Mul(w, attacks.CrossEntropy(nat, u.Y))), mean(attacks.KL(nat, adv))
			loss := Add(ce, MulScalar(kl, c.Dafa.Beta))
			u.collectClasses(Softmax(adv, -1))
			return Outcome{Grads: u.Gradient(loss), Log: []Term{
				{"loss", loss}, {"ce", ce}, {"kl", kl}, {"class_weight_min", ReduceAllMin(w)}, {"class_weight_max", ReduceAllMax(w)},
				{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
		},
	}
}

// weights is w_y of each image [B]: 1 before the class weights are in force.
func (c DafaConfig) weights(f *Frame) *Node {
	w := classWeights(f.Cells[dafaSums], f.Cells[dafaCounts], c.Lambda)
	w = ReduceSum(Mul(OneHot(f.Y, w.Shape().Dim(0), w.DType()), InsertAxes(w, 0)), -1)
	on := BroadcastToShape(f.Scalar(dafaWeigh), w.Shape())
	return Where(GreaterThan(on, ZerosLike(on)), w, OnesLike(w))
}

// classWeights is w [C] from the sums of probabilities [C, C] and the numbers of images [C] of each class. A class without
// images changes nothing.
func classWeights(sums, counts *Node, lambda float64) *Node {
	classes := counts.Shape().Dim(0)
	m := Div(sums, InsertAxes(MaxScalar(counts, 1), -1)) // M
	same := Diagonal(m.Graph(), classes)
	own := ReduceSum(Where(same, m, ZerosLike(m)), -1)           // M_ii
	ownRow := BroadcastToShape(InsertAxes(own, -1), m.Shape())   // M_ii at [i, j]
	ownColumn := BroadcastToShape(InsertAxes(own, 0), m.Shape()) // M_jj at [i, j]
	gain := Where(LessThan(ownRow, ownColumn), Mul(m, ownColumn), Neg(Mul(Transpose(m, 0, 1), ownRow)))
	gain = ReduceSum(Where(same, ZerosLike(gain), gain), -1)
	return MaxScalar(AddScalar(MulScalar(gain, lambda), 1), 0)
}

// collectClasses adds the predictions p [B, C] to the cells of their labels' classes, in the epoch that collects. It is a
// sum of products, not a product of matrices, which an accelerator may round to fewer digits.
func (u *Update) collectClasses(p *Node) {
	p = Mul(StopGradient(p), u.Scalar(dafaCollect))
	label := OneHot(u.Y, p.Shape().Dim(-1), p.DType())
	sums, counts := ReduceSum(Mul(InsertAxes(label, -1), InsertAxes(p, 1)), 0), Mul(ReduceSum(label, 0), u.Scalar(dafaCollect))
	u.Cells[dafaSums], u.Cells[dafaCounts] = Add(u.Cells[dafaSums], sums), Add(u.Cells[dafaCounts], counts)
}

// indicator is 1 where on holds, else 0.
func indicator(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
