package cureml

import (
	"fmt"

	"cure/cureml/nn"
)

// passes are what a method computes on each image of a batch, in forward passes: one back to the images costs as much as
// one forward, and so does one back to the weights. So a training pass, forward and back to both, counts 3, and a step of
// an attack, which leaves the weights out, 2.
type passes struct {
	context float64 // of the student before the attack
	step    float64 // of the student in a step of the attack; 0 means 2
	update  float64 // of the student in the update
	beside  float64 // of the other networks, all parts together
}

// passesOf says what methods with their default settings compute; settings that matter are looked at by passes.
var passesOf = map[string]passes{
	"natural":         {update: 3},
	"at":              {update: 3},
	"fast-at":         {update: 3},
	"free-at":         {update: 3},
	"fat":             {update: 3},
	"score":           {update: 3},
	"mart":            {update: 6},
	"fat-mart":        {update: 6},
	"trades":          {context: 1, update: 6},
	"fat-trades":      {context: 1, update: 6},
	"dafa":            {context: 1, update: 6},
	"score-trades":    {context: 1, update: 6},
	"score-generated": {context: 1, update: 6},
	"st-at":           {step: 6, update: 9}, // three candidates
	"act":             {update: 3, beside: 1 + 3},
	"ard":             {update: 3 + 1, beside: 1},
	"akd2":            {update: 3, beside: 2},
	"iad-1":           {update: 6, beside: 2},
	"iad-2":           {update: 6, beside: 2},
	"hat":             {context: 1, update: 9, beside: 1},
	"lbgat":           {context: 1, update: 6, beside: 3},
	"adr":             {update: 3, beside: 1},
	"adr-trades":      {context: 1, update: 6, beside: 1},
	"cure":            {context: 1, update: 2 + 4*2, beside: 2}, // back from x and x' for the loss, and once more for the scores
	"cure-eff":        {context: 1, update: 2 + 4*2, beside: 2},
	"las-at":          {update: 3, beside: 1},
	"las-trades":      {context: 1, update: 6, beside: 1},
}

// passes of a method, without those of a perturbation of weights and of LAS-AT's strategist.
func (c Config) passes(method string) (passes, error) {
	p, ok := passesOf[method]
	switch {
	case !ok:
		return p, fmt.Errorf("cureml: method %q: its passes are not known", method)
	case method == "at" && c.At.Face == "rice":
		p.update += 2
	case method == "ard" && c.Ard.Alpha < 1:
		p.update += 2
	case method == "lbgat" && c.Lbgat.Beta == 0:
		p.update -= 2
	case (method == "cure" || method == "cure-eff") && c.Cure.Face == "released":
		p.update -= 4
	}
	if p.step == 0 {
		p.step = 2
	}
	return p, nil
}

// MACs is how many multiply-adds a run of c spends on an image in an epoch, the mean over its epochs: those of
// convolutions and classifiers ([nn.Arch.MACs]), in forward passes and in passes back, each of which counts as much as a
// forward pass. A step of TRADES with K attack steps is 1 + 2·K + 6 of them on the student: its natural logits, forward
// and back to the image in each step of the attack, and two training passes. Teachers count as networks of the student's
// size, early stopping of the attack in FAT is left out, and so is all that is no convolution: masks, averages, losses,
// the optimiser.
func (c Config) MACs() (float64, error) {
	m, err := NewMethod(c)
	if err != nil {
		return 0, err
	}
	list, err := c.phases(m)
	if err != nil {
		return 0, err
	}
	var sum float64
	for i, ph := range list {
		to, last := c.Epochs, i == len(list)-1
		if !last {
			to = list[i+1].from
		}
		n, err := c.macsOf(ph.method, last)
		if err != nil {
			return 0, err
		}
		sum += n * float64(to-ph.from)
	}
	return sum / float64(c.Epochs), nil
}

// macsOf is MACs of one phase; perturbed says that this is the one that has the perturbation of weights of c.
func (c Config) macsOf(m Method, perturbed bool) (float64, error) {
	p, err := c.passes(m.Name)
	if err != nil {
		return 0, err
	}
	steps := 0.
	if m.Inner != nil {
		steps = float64(m.Inner.PGD.Steps)
	}
	on := p.context + p.step*steps
	update := p.update
	if perturbed && c.AWP.Gamma > 0 { // the gradient of the proxy, and then that of the perturbed student
		update, p.beside = 2*update, 2*p.beside
	}
	if m.Ascend != nil {
		each := 3.
		if m.PerImage != nil {
			each = 6
		}
		update += each * float64(m.Ascend.Rounds)
	}
	on += update * float64(max(1, m.Replays))
	if m.before != nil { // LAS-AT's strategist: an attack and a step of its own, and one with restarts on what comes of it
		more := p.context + p.step*steps + p.update + 2*float64(c.Attack.Steps*max(1, c.Las.Restarts)) + 4
		on += more / float64(c.Las.Interval)
		p.beside += 4 / float64(c.Las.Interval)
	}
	student, err := c.Arch.MACs()
	if err != nil {
		return 0, err
	}
	other, err := m.besideArch(c.Arch).MACs()
	return on*float64(student) + p.beside*float64(other), err
}

// besideArch is that of the network that a method trains beside the student, else the student's.
func (m Method) besideArch(student nn.Arch) nn.Arch {
	for _, n := range m.Networks {
		if n.Kind == Partner && n.Arch.Name != "" {
			return n.Arch
		}
	}
	return student
}
