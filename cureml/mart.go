package cureml

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// MartConfig holds MART's own parameters.
type MartConfig struct {
	// Beta is β: 5 in train_resnet.py, 6 in train_wideresnet.py and as the default argument of mart_loss.
	Beta float64 `json:"beta"`
	// AdvFirst forwards the adversarial batch before the clean one, as FAT_for_MART.py does; only running statistics can
	// tell.
	AdvFirst bool `json:"adv_first"`
}

func tuneMart(c *Config) { c.Mart.Beta = 5 }

func checkMart(c Config) error { return weight("mart.beta", c.Mart.Beta) }

// The numbers that keep the logarithms and the weight of MART away from 0, as in mart.py.
const (
	martMargin = 1.0001
	martWeight = 1.0000001
	martLog    = 1e-12
)

// Mart is misclassification aware adversarial training (Wang et al., ICLR 2020; YisenWang/MART mart.py):
//
//	min mean BCE(x', y) + β·mean (1 - p_y(x))·KL(p(x) ‖ p(x')),   BCE = -log p_y(x') - log(1 - max_{k≠y} p_k(x'))
//
// on x' = argmax CE(f(x'), y) from x + 0.001·N(0,1), attacked in batch-norm mode E; the update forwards x, then x', in
// mode T. Nothing is stopped: the target p(x) and the weight 1 - p_y(x) carry gradients too. The 1 of the margin is 1.0001,
// that of the weight 1.0000001, and 1e-12 is added within log(1 - p) and log p_k(x') of the KL, as released.
//
// The codes train ResNet-18 at a rate of 0.01 with weight decay 3.5e-3, WRN-34-10 at 0.1 with 7e-4: unlike other methods'
// codes, so set sgd.weight_decay to compare.
func Mart(c Config) Method {
	pgd := c.Attack.pgd("ce", attacks.Normal)
	return Method{Name: "mart", Inner: &Inner{PGD: pgd, Mode: c.Attack.mode(nn.Eval)}, Update: func(u *Update) Outcome {
		var nat, adv *Node
		if c.Mart.AdvFirst {
			adv, nat = u.Student.Forward(nn.Train, u.Adv), u.Student.Forward(nn.Train, u.X)
		} else {
			nat, adv = u.Student.Forward(nn.Train, u.X), u.Student.Forward(nn.Train, u.Adv)
		}
		bce, kl := martTerms(nat, adv, u.Y)
		loss := Add(bce, MulScalar(kl, c.Mart.Beta))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{
			{"loss", loss}, {"bce", bce}, {"weighted_kl", kl},
			{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
	}}
}

// martTerms are the means of MART's two parts over the batch, from logits [B, C] of the clean and adversarial images.
func martTerms(nat, adv, y *Node) (bce, weightedKL *Node) {
	n, q := Softmax(nat, -1), Softmax(adv, -1)
	isY := OneHot(y, nat.Shape().Dim(-1), nat.DType())
	runnerUp := ReduceMax(Mul(q, OneMinus(isY)), -1)
	bce = Sub(attacks.CrossEntropy(adv, y), Log(AddScalar(AddScalar(Neg(runnerUp), martMargin), martLog)))

	kl := ReduceSum(Mul(n, Sub(LogSoftmax(nat, -1), Log(AddScalar(q, martLog)))), -1)
	missed := AddScalar(Neg(ReduceSum(Mul(n, isY), -1)), martWeight)
	return mean(bce), mean(Mul(missed, kl))
}
