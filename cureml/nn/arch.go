package nn

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Arch names one network. The zero value of an optional field means the published form.
type Arch struct {
	// Name is one of [Names]. wrn-D-K is the WideResNet of depth D and widening K. A name in -swish is the SiLU form of
	// Gowal et al. (2020) and Rebuffi et al. (2021) that leads RobustBench, which normalises its images. preactresnet18-raw
	// is the form of fast adversarial training (Wong et al., 2020): no final norm, and shortcut convolutions that see the
	// block's input itself.
	Name string `json:"name"`
	// Width is the base width: channels after the stem (64 for the ResNets, 16 for WideResNets as published).
	Width int `json:"width"`
	// Classes is the number of logits.
	Classes int `json:"classes"`
	// Mean and Std, three values each, normalise [0,1] pixels inside the network; empty means no normalisation, and for the
	// -swish forms the published constants of CIFAR-10 (of CIFAR-100 with 100 classes).
	Mean []float64 `json:"mean,omitempty"`
	Std  []float64 `json:"std,omitempty"`
	// NoFinalBN drops the batch norm before pooling of preactresnet18: the older form of that network.
	NoFinalBN bool `json:"no_final_bn,omitempty"`
}

// Names lists what [Parse] accepts.
const Names = "resnet18, resnet34, resnet50, preactresnet18, preactresnet18-raw, preactresnet18-swish, " +
	"wrn-D-K (e.g. wrn-28-10, wrn-34-10), wrn-D-K-swish (e.g. wrn-28-10-swish)"

// Parse checks name and fills in the published base width where width is 0.
func Parse(name string, width, classes int) (Arch, error) {
	a := Arch{Name: strings.ToLower(name), Width: width, Classes: classes}
	if a.Width == 0 {
		a.Width = 64
		if strings.HasPrefix(a.Name, "wrn-") {
			a.Width = 16
		}
	}
	return a, a.Validate()
}

// Validate says what is wrong with a, in one line.
func (a Arch) Validate() error {
	if _, err := a.plan(); err != nil {
		return err
	}
	if a.Width < 1 || a.Width > 1024 {
		return fmt.Errorf("nn: width %d: want a base width of 1 to 1024", a.Width)
	}
	if a.Classes < 2 {
		return fmt.Errorf("nn: %d classes: want 2 or more", a.Classes)
	}
	if len(a.Mean) != len(a.Std) || (len(a.Mean) != 0 && len(a.Mean) != 3) {
		return fmt.Errorf("nn: %d means and %d deviations: want three of each, or none", len(a.Mean), len(a.Std))
	}
	for i := range a.Mean {
		if math.IsNaN(a.Mean[i]) || math.IsInf(a.Mean[i], 0) || !(a.Std[i] > 0) || math.IsInf(a.Std[i], 0) {
			return fmt.Errorf("nn: mean %v, std %v: want finite numbers, std above 0", a.Mean, a.Std)
		}
	}
	if a.NoFinalBN && a.Name != "preactresnet18" {
		return fmt.Errorf("nn: no_final_bn: only preactresnet18 has that form, not %s", a.Name)
	}
	return nil
}

// plan returns the forward function of the architecture.
func (a Arch) plan() (func(p *pass, x *node) *node, error) {
	switch a.Name {
	case "resnet18":
		return resnet(basicBlock, 2, 2, 2, 2), nil
	case "resnet34":
		return resnet(basicBlock, 3, 4, 6, 3), nil
	case "resnet50":
		return resnet(bottleneck, 3, 4, 6, 3), nil
	case "preactresnet18", "preactresnet18-raw":
		return preactResNet(2, 2, 2, 2), nil
	case "preactresnet18-swish":
		return preactResNetSwish(2, 2, 2, 2), nil
	}
	if rest, ok := strings.CutPrefix(a.Name, "wrn-"); ok {
		names := tradesNames
		rest, swish := strings.CutSuffix(rest, "-swish")
		if swish {
			names = deepMindNames
		}
		d, k, _ := strings.Cut(rest, "-")
		depth, errD := strconv.Atoi(d)
		widen, errK := strconv.Atoi(k)
		if errD != nil || errK != nil || depth < 10 || (depth-4)%6 != 0 || widen < 1 || widen > 64 || depth > 1000 {
			return nil, fmt.Errorf("nn: arch %q: a WideResNet is wrn-D-K or wrn-D-K-swish with D = 6n+4 (10, 16, 22, 28, 34, ...) and K from 1 to 64", a.Name)
		}
		return wideResNet(names, depth, widen), nil
	}
	return nil, fmt.Errorf("nn: unknown arch %q: accepted are %s", a.Name, Names)
}

// swish says whether a is one of the forms with SiLU, SAME padding and normalised images.
func (a Arch) swish() bool { return strings.HasSuffix(a.Name, "-swish") }

// String is the name with its width, such as resnet18-w16.
func (a Arch) String() string { return fmt.Sprintf("%s-w%d", a.Name, a.Width) }
