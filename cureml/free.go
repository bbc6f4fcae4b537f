package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
)

// FreeConfig holds Free-AT's own parameters.
type FreeConfig struct {
	Replays int `json:"replays"` // m, weight steps on each batch
	// Box clips δ to the box of the images after each step, as the port in fast_adversarial does.
	Box bool `json:"box"`
}

// tuneFree takes eps and m of the paper, and the rates of the port in fast_adversarial (0 to 0.04 to 0), which was made
// for short runs. The paper: 0.1, a tenth from half and a hundredth from three quarters of the steps on, decay 2e-4.
func tuneFree(c *Config) {
	c.Free = FreeConfig{Replays: 8}
	c.Attack.Eps, c.Attack.StepSize, c.Attack.Steps = 8./255, 8./255, 1
	c.Schedule, c.SGD.Nesterov = optim.Triangular(0.04), false
}

func checkFree(c Config) error {
	switch norm, _ := c.Attack.norm(); {
	case c.Free.Replays < 1 || c.Free.Replays > 1000:
		return fmt.Errorf("cureml: free.replays %d: want 1 to 1000 weight steps a batch", c.Free.Replays)
	case norm != attacks.Linf:
		return fmt.Errorf("cureml: attack.norm %q: free-at knows linf only", c.Attack.Norm)
	case c.Attack.BN != "" || c.Attack.From != "":
		return fmt.Errorf("cureml: attack.bn %q, attack.start %q: want both empty, free-at attacks by the pass of its update, in mode T, from the perturbation before", c.Attack.BN, c.Attack.From)
	}
	return nil
}

// deltaCell holds the perturbation of Free-AT.
const deltaCell = "delta"

// FreeAT is free adversarial training (Shafahi et al., NeurIPS 2019; ashafahi/free_adv_train). A perturbation
// δ [B, 32, 32, 3] starts at 0 and is carried over from batch to batch, where its rows meet other images. On each batch
// (x, y), m times, with both gradients from one pass forward and back in mode T:
//
//	g_w, g_δ = ∂/∂w, ∂/∂δ of mean CE(f(clip01(x + δ)), y)
//	w <- SGD(w, g_w);   δ <- clip(δ + α·sign(g_δ), -eps, eps)
//
// with α = eps (attack.step_size; attack.steps is not used). The clip to the pixel box is part of the differentiated
// graph, as in the authors' code, so δ rests where x + δ is outside. In locuslab/fast_adversarial's train_free.py δ is
// clipped to the box after each step instead, and its gradient passes everywhere; Free.Box does that (there, the first
// pass on a batch may leave the box; here never).
//
// An epoch is one pass over the training images, so it holds m times as many weight steps as an epoch of other methods
// and costs as much as m natural ones: the paper's 80,000 weight steps of 128 images with m = 8 are 25.6 epochs here, as
// many passes as 205 natural epochs. The learning rate moves with every weight step. metrics.jsonl counts batches as
// steps, and logs the last of each batch's m losses.
func FreeAT(c Config) Method {
	eps, step := c.Attack.Eps, c.Attack.StepSize
	delta := Cell{Name: deltaCell, Shape: []int{c.Batch, data.Height, data.Width, data.Channels}}
	return Method{Name: "free-at", Cells: []Cell{delta}, Replays: c.Free.Replays, Update: func(u *Update) Outcome {
		moved := Add(u.X, u.Cells[deltaCell])
		adv := Identity(StopGradient(ClipScalar(moved, 0, 1)))
		logits := u.Student.Forward(nn.Train, adv)
		loss := mean(attacks.CrossEntropy(logits, u.Y))
		grads := u.Gradient(loss, adv)
		toDelta := grads[len(grads)-1]
		if !c.Free.Box {
			inside := LogicalAnd(GreaterOrEqual(moved, ZerosLike(moved)), LessOrEqual(moved, OnesLike(moved)))
			toDelta = Where(inside, toDelta, ZerosLike(toDelta))
		}
		up := attacks.Ball{Norm: attacks.Linf}.Direction(toDelta)
		next := ClipScalar(Add(u.Cells[deltaCell], MulScalar(up, step)), -eps, eps)
		if c.Free.Box {
			next = Min(Max(next, Neg(u.X)), OneMinus(u.X))
		}
		u.Cells[deltaCell] = StopGradient(next)
		return Outcome{Grads: grads[:len(grads)-1], Log: []Term{{"loss", loss}, {"train_adv_accuracy", accuracy(logits, u.Y)}}}
	}}
}
