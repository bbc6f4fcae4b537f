package cureml

import (
	"cure/attacks"
	"cure/cureml/nn"
)

// AT is PGD adversarial training (Madry et al., ICLR 2018): min mean CE(f(x'), y) on x' = argmax CE(f(x'), y) in the
// eps-ball, from a uniform start. The attack runs in batch-norm mode E, as "Bag of Tricks for AT" (Pang et al., 2021)
// recommends; Madry's and Rice's codes attack in mode T.
func AT(c Config) Method {
	pgd := c.Attack.pgd("ce", attacks.Uniform)
	return Method{Name: "at", Inner: &Inner{PGD: pgd, Mode: c.Attack.mode(nn.Eval)}, Update: func(u *Update) Outcome {
		logits := u.Student.Forward(nn.Train, u.Adv)
		loss := mean(attacks.CrossEntropy(logits, u.Y))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"train_adv_accuracy", accuracy(logits, u.Y)}}}
	}}
}
