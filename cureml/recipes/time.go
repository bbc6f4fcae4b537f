package recipes

import (
	"fmt"
	"time"

	"cure/cureml"
)

// Rates of a TRADES step with ten attack steps, in images per second.
const (
	// miniRate was measured on two cores of a Xeon that had other work too, ResNet-18 of width 16, evaluations between
	// epochs included: results/mini-trades.json.
	miniRate = 52.
	// gpuRate is an estimate for ResNet-18 of width 64 on a GPU of the A100 class with half precision, from counts of
	// operations; it was not measured.
	gpuRate = 3000.
	// wideFactor is how many times the multiplications of ResNet-18 a WRN-34-10 has (5.2 to 0.56 billion an image).
	wideFactor = 9.4
)

// Time is about how long the training takes, and on what; 0 where there is nothing to go by.
func (p Preset) Time(r Row, c cureml.Config) (t time.Duration, machine string) {
	images, rate := 0., 0.
	switch {
	case p.Name == Mini.Name && c.Arch.Name == resnet18 && c.Arch.Width == Mini.Arch.Width:
		images, rate, machine = 5085*(1-p.Validation), miniRate, "two CPU cores, going by a measured TRADES run"
	case p.Name == Paper.Name && c.Arch.Name == resnet18 && c.Arch.Width == 64:
		images, rate, machine = 50000*(1-p.Validation), gpuRate, "a GPU of the A100 class, estimated from operation counts"
	case p.Name == Paper.Name && c.Arch.Name == wideResNet && c.Arch.Width == 16:
		images, rate, machine = 50000*(1-p.Validation), gpuRate/wideFactor, "a GPU of the A100 class, estimated from operation counts"
	default:
		return 0, ""
	}
	seconds := images * float64(c.Epochs) * r.Cost / rate
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
