package cureml

import (
	"cure/attacks"
	"cure/cureml/nn"
)

// Natural is standard training, min mean CE(f(x), y), batch norm in mode T.
func Natural(Config) Method {
	return Method{Name: "natural", Update: func(u *Update) Outcome {
		logits := u.Student.Forward(nn.Train, u.X)
		loss := mean(attacks.CrossEntropy(logits, u.Y))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"train_accuracy", accuracy(logits, u.Y)}}}
	}}
}
