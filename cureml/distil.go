package cureml

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// views are the logits [B, C] of one network on a batch and on its adversarial version; nil where a method needs none.
type views struct{ nat, adv *Node }

// distilling is the attack that ARD, AKD2 and IAD share: x' = argmax CE(f(x'), y) from a uniform start that may leave the
// pixel box, with the student in mode T, so that its running statistics move in every step.
func distilling(c Config) *Inner {
	return &Inner{PGD: c.Attack.pgd("ce", attacks.UniformUnclipped), Mode: c.Attack.mode(nn.Train)}
}

// distil is T²·KL(p_t^T ‖ p^T) per image [B], where p^T is the softmax of logits over the temperature T. The factor keeps
// the size of gradients as T grows (Hinton et al., 2015).
func distil(teacher, student *Node, temperature float64) *Node {
	kl := attacks.KL(DivScalar(teacher, temperature), DivScalar(student, temperature))
	return MulScalar(kl, temperature*temperature)
}

// distilTemperature is an error unless logits can be divided by v.
func distilTemperature(name string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("cureml: %s %v: want a value above 0", name, v)
	}
	return nil
}

// summand is a part of a loss.
type summand struct {
	weight float64
	value  *Node
}

// total is the sum of weight·value. What has weight 0 stays out of it, and so costs no backward pass.
func total(parts ...summand) (sum *Node) {
	for _, p := range parts {
		if p.weight == 0 {
			continue
		}
		v := MulScalar(p.value, p.weight)
		if sum == nil {
			sum = v
		} else {
			sum = Add(sum, v)
		}
	}
	return sum
}

// learn is the outcome of a step of the student along the gradient of the first of terms, which is its loss; the
// accuracies of its views are logged too.
func (u *Update) learn(terms []Term, of views) Outcome {
	if of.nat != nil {
		terms = append(terms, Term{"train_accuracy", accuracy(of.nat, u.Y)})
	}
	if of.adv != nil {
		terms = append(terms, Term{"train_adv_accuracy", accuracy(of.adv, u.Y)})
	}
	return Outcome{Grads: u.Gradient(terms[0].Value), Log: terms}
}
