package study

import (
	"fmt"
	"slices"
	"strings"

	"cure/cureml"
	"cure/cureml/optim"
)

// Overfitting is the study of robust overfitting (Rice, Wong and Kolter, ICML 2020): adversarial training goes on for long,
// and accuracy under attack on test images, after a highest value, falls again, while that on training images still
// rises. Figure 5c and table 3 of the CURE paper (arXiv 2401.14948) compare methods by it.
//
// Its size is the preset's: overfittingSizes.
type Overfitting struct {
	*Study
	Methods []string
	size    overfittingSize
}

// overfitter is one training of the study.
type overfitter struct {
	name, title, method string
	tune                func(c *cureml.Config, size overfittingSize)
}

var overfitters = []overfitter{
	{"at", "AT", "at", nil},
	{"trades", "TRADES", "trades", nil},
	{"cure", "CURE", "cure", nil},
	{"at+awp", "AT + AWP", "at", func(c *cureml.Config, _ overfittingSize) { c.AWP.Gamma = 0.01 }},
	{"at+average", "AT + averaged weights", "at", func(c *cureml.Config, size overfittingSize) { c.Average.Decay = size.decay }},
}

// OverfittingMethods are the names of the trainings: plain PGD adversarial training, TRADES, CURE, which starts from a network
// trained naturally on the same images, and plain training with adversarial weight perturbation and with averaged weights.
func OverfittingMethods() (names []string) {
	for _, o := range overfitters {
		names = append(names, o.name)
	}
	return names
}

func findOverfitter(name string) (overfitter, bool) {
	i := slices.IndexFunc(overfitters, func(o overfitter) bool { return o.name == name })
	if i < 0 {
		return overfitter{}, false
	}
	return overfitters[i], true
}

// overfittingSize is how large the study is in a preset.
type overfittingSize struct {
	trainImages, testImages int
	decay                   float64 // of averaged weights
	tune                    func(c *cureml.Config)
}

// overfittingSizes by preset. All have the step schedule of Rice et al.: the rate falls to a tenth at one half of the
// epochs and at three quarters. What takes them tens of thousands of steps has to happen within about a thousand in mini:
// its images are few and not augmented, and its batches small.
var overfittingSizes = map[string]overfittingSize{
	"ci": {trainImages: 64, testImages: 16, decay: 0.5, tune: func(c *cureml.Config) {
		c.Epochs, c.Batch, c.LogEvery, c.EvalEvery, c.EvalImages, c.EvalTrainImages = 4, 32, 1, 1, 16, 16
		c.Schedule = halves(0.1, c.Epochs)
	}},
	"mini": {trainImages: 1000, decay: 0.99, tune: func(c *cureml.Config) {
		c.Epochs, c.Batch, c.LogEvery, c.EvalEvery, c.EvalImages, c.EvalTrainImages = 30, 32, 31, 3, 512, 256
		c.Schedule = halves(0.05, c.Epochs)
		c.Augment = false
	}},
	"paper": {decay: 0.999, tune: func(c *cureml.Config) {
		c.Epochs, c.EvalEvery, c.EvalTrainImages = 200, 2, 1024
		c.Schedule = halves(0.1, c.Epochs)
	}},
}

// halves is lr, a tenth of it from the middle of the epochs on, and a hundredth in the last quarter.
func halves(lr float64, epochs int) optim.Schedule {
	return optim.Step(lr, 0.1, epochs/2+1, epochs*3/4+1)
}

// Overfitting is the study of robust overfitting of this size in the study's own folder; no methods mean all of
// [OverfittingMethods].
func (s *Study) Overfitting(methods ...string) (*Overfitting, error) {
	size, ok := overfittingSizes[s.Name]
	if !ok {
		return nil, fmt.Errorf("study: the preset %q has no study of overfitting", s.Name)
	}
	if len(methods) == 0 {
		methods = OverfittingMethods()
	}
	for i, name := range methods {
		if _, ok := findOverfitter(name); !ok {
			return nil, fmt.Errorf("study: method %q: accepted are %s", name, strings.Join(OverfittingMethods(), ", "))
		}
		if slices.Contains(methods[:i], name) {
			return nil, fmt.Errorf("study: method %s appears twice", name)
		}
	}
	return &Overfitting{Study: s.sized(size.trainImages, size.testImages), Methods: methods, size: size}, nil
}

// Config is the training of one of the study's methods. It panics at another name.
func (o *Overfitting) Config(name string) cureml.Config {
	f, ok := findOverfitter(name)
	if !ok {
		panic("study: no overfitting of " + name)
	}
	c := o.Study.Config(f.method)
	o.size.tune(&c)
	if f.tune != nil {
		f.tune(&c, o.size)
	}
	if f.method == "cure" {
		c.Init = o.Final(naturalRun)
	}
	return c
}

// Train trains one of the study's methods, or reads what it measured, as [Study.Train] does; before CURE comes the natural
// network that it starts from, trained for as many epochs.
func (o *Overfitting) Train(name string, each func(Line)) (Metrics, error) {
	if _, ok := findOverfitter(name); !ok {
		return nil, fmt.Errorf("study: method %q: accepted are %s", name, strings.Join(OverfittingMethods(), ", "))
	}
	c := o.Config(name)
	done, err := o.Trained(name)
	if err != nil {
		return nil, err
	}
	if !done && c.Init != "" {
		natural := o.Study.Config("natural")
		o.size.tune(&natural)
		if _, err := o.Study.Train(naturalRun, natural, nil); err != nil {
			return nil, err
		}
	}
	return o.Study.Train(name, c, each)
}

// Trained reports whether the method is trained, or saved, so that Train only reads it.
func (o *Overfitting) Trained(name string) (bool, error) {
	return o.Study.Trained(name, o.Config(name))
}

// Keep copies what the finished runs have measured to dir, without their weights; see [Study.Keep].
func (o *Overfitting) Keep(dir string) error {
	var names []string
	for _, name := range o.Methods {
		done, err := o.Trained(name)
		if err != nil {
			return err
		}
		if done {
			names = append(names, name)
		}
	}
	return o.Study.Keep(dir, names...)
}
