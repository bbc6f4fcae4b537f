package recipes

import (
	"fmt"
	"time"

	"cure/cureml"
)

// Rates of a TRADES step with ten attack steps, in images per second.
const (
	// miniRate was measured on two idle cores of a Xeon, ResNet-18 of width 16, batches of 64: results/bench/steps.json.
	miniRate = 82.
	// gpuRate is an estimate for ResNet-18 of width 64 on a GPU of the A100 class with half precision, from counts of
	// operations; it was not measured.
	gpuRate = 3000.
	// wideFactor is how many times the multiplications of ResNet-18 a WRN-34-10 has (6.66 to 0.56 billion an image, as
	// nn.Arch.MACs counts them).
	wideFactor = 12
	// evaluationCost is that of PGD-10 on one validation image after an epoch, in units of a TRADES step.
	evaluationCost = 0.5
)

// Time is about how long the training takes, and on what; 0 where there is nothing to go by.
func (p Preset) Time(r Row, c cureml.Config) (t time.Duration, machine string) {
	images, rate := 50000., gpuRate
	machine = "a GPU of the A100 class, estimated from operation counts"
	switch {
	case p.Name == Mini.Name && c.Arch.Name == resnet18 && c.Arch.Width == Mini.Arch.Width:
		images, rate, machine = 5085, miniRate, "two idle CPU cores, going by measured steps"
	case p.Name == Paper.Name && c.Arch.Name == resnet18 && c.Arch.Width == 64:
	case p.Name == Paper.Name && c.Arch.Name == wideResNet && c.Arch.Width == 16:
		rate /= wideFactor
	default:
		return 0, ""
	}
	epoch := images*(1-p.Validation)*r.Cost + images*p.Validation*evaluationCost
	seconds := epoch * float64(c.Epochs) / rate
	return time.Duration(seconds * float64(time.Second)).Round(time.Minute), machine
}

// Expected is Time in words, "" where there is nothing to go by.
func (p Preset) Expected(r Row, c cureml.Config) string {
	t, machine := p.Time(r, c)
	switch {
	case machine == "":
		return ""
	case t < 90*time.Minute:
		return fmt.Sprintf("about %.0f minutes on %s", max(1, t.Minutes()), machine)
	}
	return fmt.Sprintf("about %.0f hours on %s", t.Hours(), machine)
}
