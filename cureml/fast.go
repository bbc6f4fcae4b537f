package cureml

import (
	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// tuneFast is the recipe of the paper's CIFAR-10 runs, which take 15 epochs and more: eps 8/255, one step of 10/255, a
// learning rate that rises to 0.2 and falls again, and the guard against collapse.
func tuneFast(c *Config) {
	c.Attack.Eps, c.Attack.StepSize, c.Attack.Steps = 8./255, 10./255, 1
	c.Schedule, c.SGD.Nesterov = optim.Triangular(0.2), false
	c.Guard.Drop = 0.2
}

// FastAT is FGSM with a random start (FGSM-RS; Wong, Rice and Kolter, ICLR 2020; locuslab/fast_adversarial):
//
//	min mean CE(f(x + δ), y),   δ = clip(δ0 + α·sign ∂CE(f(x + δ0), y)/∂δ0),   δ0 ~ U(-eps, eps)
//
// with α = 1.25 eps and both clips to the eps-ball and the pixel box. Both passes are in mode T, so running statistics
// count the start's images too. It is [AT] with one longer step; attack.steps may ask for more.
//
// Such training can collapse within an epoch: the network learns to defeat the single step and loses all robustness to
// PGD ("catastrophic overfitting"). [GuardConfig], which is on here with the paper's drop of 20 points, ends the run
// then; guard.drop = 0 switches it off, which is the released code's default.
func FastAT(c Config) Method {
	m := AT(c)
	m.Inner = &Inner{PGD: c.Attack.pgd("ce", attacks.Uniform), Mode: c.Attack.mode(nn.Train)}
	return m
}
