package attacks

import (
	"context"
	"fmt"
	"math"
)

// NamedModel is a model under the name that a Matrix shows.
type NamedModel struct {
	Name  string
	Model Model
}

// Matrix is how adversarial images made for each of some models, the sources, fare with all of them, the targets.
// Rows are sources and columns are targets, both in the order of Models. It marshals to JSON.
type Matrix struct {
	Models   []string       `json:"models"`
	N        int            `json:"n"` // images
	Seed     int64          `json:"seed"`
	Clean    []Clean        `json:"clean"` // of each model
	Attacks  []*Transferred `json:"attacks"`
	Warnings []string       `json:"warnings"`
}

// Transferred is the matrix of one attack.
type Transferred struct {
	Name string  `json:"name"`
	Norm string  `json:"norm"`
	Eps  float64 `json:"eps"` // in pixel units of [0, 1]
	// Accuracy is the share of all images that the target classifies correctly both clean and as made on the source. An
	// image that the source misclassifies is not attacked there, and comes as it is. The diagonal is the white-box robust
	// accuracy.
	Accuracy [][]float64 `json:"accuracy"`
	// Success is the share of misclassified ones among the images that source and target both classify correctly before
	// the attack: the success rate of the attack. It is null where there are no such images.
	Success [][]Number `json:"success"`
	// Flags are the verdicts behind Accuracy: per source, target and image.
	Flags [][]Flags `json:"flags"`
}

// Transfer attacks each model and shows all of them what came out. images and labels are those of Evaluate, as are opt
// and the attacks, of which those without a method are passed over. KeepAdv is implied, progress names the source before
// the attack, and a state file becomes one for each source, with .0, .1, ... after its name. Models share image shape and
// classes.
//
// Every attack works on the images that its source classifies correctly, and what it returned for each, broken or not, is
// what the targets get: exactly the float32 images that the evaluation of the source verified. Where that is the clean
// image (an ensemble returns it for what no stage breaks) or one beyond eps (of a search for smallest perturbations), they
// get the clean image. Targets have no say in the images, and their random numbers depend on the seed, not on the source.
//
// What DiagnoseTransfer finds, a model that images of another source fool more often than its own white-box attack, is
// reported as a warning. Warnings of the white-box evaluations follow under the model's name.
//
// The error names the first invalid input, or what failed in the backend; if ctx ends, it wraps ctx.Err().
func Transfer(ctx context.Context, models []NamedModel, images []uint8, labels []int32, list []Attack, opt Options) (*Matrix, error) {
	if err := checkTransfer(models, images, labels, list, opt); err != nil {
		return nil, err
	}
	if opt.Batch == 0 {
		opt.Batch = DefaultBatch
	}
	opt.KeepAdv = true
	evaluators := make([]*Evaluator, len(models))
	for s, m := range models {
		var err error
		if evaluators[s], err = NewEvaluator(m.Model, min(opt.Batch, len(labels))); err != nil {
			return nil, err
		}
		defer evaluators[s].Close()
	}
	reports := make([]*Report, len(models))
	verdicts := make([][][]Flags, len(models)) // of sources, attacks and targets: whether the target is right
	for s, m := range models {
		from := opt
		if opt.State != "" {
			from.State = fmt.Sprintf("%s.%d", opt.State, s)
		}
		if opt.Progress != nil {
			from.Progress = func(p Progress) {
				p.Attack = m.Name + ": " + p.Attack
				opt.Progress(p)
			}
		}
		var err error
		if reports[s], err = evaluators[s].Evaluate(ctx, nil, images, labels, list, from); err != nil {
			return nil, err
		}
		balls := budgets(list)
		for k, result := range reports[s].Attacks {
			keepWithin(balls[k], result.Adv, images, labels)
			right, err := judged(ctx, evaluators, s, result, labels)
			if err != nil {
				return nil, fmt.Errorf("attacks: %s made on %s: %w", result.Name, m.Name, err)
			}
			verdicts[s] = append(verdicts[s], right)
			for _, seen := range append(result.Stages, result) {
				seen.Adv = nil // which is large
			}
		}
	}
	return newMatrix(models, list, opt.Seed, reports, verdicts), nil
}

// budgets are those of the attacks that have a method, as reports list them.
func budgets(list []Attack) (balls []Ball) {
	for _, a := range list {
		if a.Method != nil {
			balls = append(balls, a.Method.Budget())
		}
	}
	return balls
}

// keepWithin puts clean images in the place of those outside the ball.
func keepWithin(ball Ball, adv []float32, images []uint8, labels []int32) {
	d := len(adv) / len(labels)
	clean := make([]float32, d)
	for i := range labels {
		for k, v := range images[i*d : (i+1)*d] {
			clean[k] = float32(v) / 255
		}
		if image := adv[i*d : (i+1)*d]; !ball.within(image, clean) {
			copy(image, clean)
		}
	}
}

// judged says for each target which images of a result on source s it classifies correctly.
func judged(ctx context.Context, evaluators []*Evaluator, s int, result *Result, labels []int32) ([]Flags, error) {
	right := make([]Flags, len(evaluators))
	for t, ev := range evaluators {
		if t == s {
			right[t] = result.RobustFlags
			continue
		}
		classes, err := ev.engine.predict(ctx, result.Adv)
		if err != nil {
			return nil, err
		}
		right[t] = make(Flags, len(labels))
		for i, y := range labels {
			right[t][i] = classes[i] == int(y)
		}
	}
	return right, nil
}

// newMatrix puts the verdicts together.
func newMatrix(models []NamedModel, list []Attack, seed int64, reports []*Report, verdicts [][][]Flags) *Matrix {
	m := &Matrix{N: reports[0].N, Seed: seed, Attacks: []*Transferred{}, Warnings: []string{}}
	for s, r := range reports {
		m.Models = append(m.Models, models[s].Name)
		m.Clean = append(m.Clean, r.Clean)
	}
	for _, a := range list {
		if a.Method == nil {
			continue
		}
		ball := a.Method.Budget()
		entry := &Transferred{Name: a.Name, Norm: ball.Norm.String(), Eps: ball.Eps}
		for s := range reports {
			entry.add(m.Clean, s, verdicts[s][len(m.Attacks)])
		}
		m.Attacks = append(m.Attacks, entry)
	}
	for _, f := range DiagnoseTransfer(m) {
		m.Warnings = append(m.Warnings, f.String())
	}
	for s, r := range reports {
		for _, text := range r.Warnings {
			m.Warnings = append(m.Warnings, m.Models[s]+": "+text)
		}
	}
	return m
}

// add appends the row of source s.
func (r *Transferred) add(clean []Clean, s int, right []Flags) {
	flags, accuracy, success := make([]Flags, len(right)), make([]float64, len(right)), make([]Number, len(right))
	for t := range right {
		flags[t] = make(Flags, len(right[t]))
		common, fooled := 0, 0
		for i, ok := range right[t] {
			flags[t][i] = ok && clean[t].Flags[i]
			if clean[s].Flags[i] && clean[t].Flags[i] {
				common++
				if !ok {
					fooled++
				}
			}
		}
		accuracy[t], success[t] = flags[t].Accuracy(), Number(math.NaN())
		if common > 0 {
			success[t] = Number(float64(fooled) / float64(common))
		}
	}
	r.Flags, r.Accuracy, r.Success = append(r.Flags, flags), append(r.Accuracy, accuracy), append(r.Success, success)
}

// checkTransfer names the first thing that is wrong about what Transfer is asked to do.
func checkTransfer(models []NamedModel, images []uint8, labels []int32, list []Attack, opt Options) error {
	if len(models) == 0 {
		return fmt.Errorf("attacks: transfer between no models")
	}
	seen := map[string]bool{}
	for _, m := range models {
		switch first := models[0]; {
		case m.Name == "":
			return fmt.Errorf("attacks: a model of a transfer has no name")
		case seen[m.Name]:
			return fmt.Errorf("attacks: two models are called %s, want different names", m.Name)
		case m.Model.Image != first.Model.Image || m.Model.Classes != first.Model.Classes:
			return fmt.Errorf("attacks: %s has %d classes and images of %v, %s %d and %v: want the same", m.Name, m.Model.Classes, m.Model.Image,
				first.Name, first.Model.Classes, first.Model.Image)
		}
		seen[m.Name] = true
		if err := checkModel(m.Model); err != nil {
			return fmt.Errorf("%w (%s)", err, m.Name)
		}
	}
	return checkRequest(models[0].Model, images, labels, list, opt)
}
