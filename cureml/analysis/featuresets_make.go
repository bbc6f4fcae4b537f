package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
)

// workshop makes the sets of [LearnFeatures].
type workshop struct {
	opt             FeatureSetOptions
	train           *data.Set
	robust, natural *subject
	inverter        *inverter
	descent         *ascent
	classify        *program
	attack          *evaluator
}

func newWorkshop(device compute.Backend, robust, natural Network, train, test *data.Set, opt FeatureSetOptions) *workshop {
	return &workshop{opt: opt, train: train, robust: seat(device, robust), natural: seat(device, natural), inverter: newInverter(opt.Inversion),
		descent: newDescent(opt.Perturb), classify: newClassifier(), attack: &evaluator{size: min(opt.Batch, test.Len())}}
}

// Close frees networks and programs.
func (w *workshop) Close() {
	w.robust.free()
	w.natural.free()
	closeAll(w.inverter, w.descent, w.classify, w.attack)
}

// examine measures a network that learned.
func (w *workshop) examine(ctx context.Context, device compute.Backend, net Network, test *data.Set) (*attacks.Report, error) {
	s := seat(device, net)
	defer s.free()
	r, err := w.attack.evaluate(ctx, s, test, w.opt.Evaluate, attacks.Options{Seed: int64(w.opt.Seed)})
	if err != nil {
		return nil, fmt.Errorf("analysis: network %s: %w", net.Name, err)
	}
	return r, nil
}

// set makes a training set, or reads the one that was made before.
func (w *workshop) set(ctx context.Context, name string) (*data.Set, error) {
	if name == OriginalSet {
		return w.train, nil
	}
	path := w.file(name)
	if set, err := readSet(path, w.train); set != nil || err != nil {
		return set, err
	}
	set, err := w.make(ctx, name)
	if err != nil {
		return nil, err
	}
	return set, writeSet(path, set)
}

func (w *workshop) make(ctx context.Context, name string) (*data.Set, error) {
	set := *w.train
	set.Labels = slices.Clone(w.train.Labels)
	rng := data.Stream(w.opt.Seed, "featuresets/"+name)
	images := pixels(w.train.Images)
	var err error
	switch name {
	case RobustSet, InvertedSet:
		from := w.robust
		if name == InvertedSet {
			from = w.natural
		}
		images, _, err = w.inverter.invert(ctx, from, images, shuffled(images, rng.Perm(set.Len())))
		set.Name = fmt.Sprintf("%s, features of %s", w.train.Name, from.Name)
	default:
		classes := int32(len(set.Classes))
		for i, y := range set.Labels {
			set.Labels[i] = (y + 1) % classes
			if name == PerturbedSet {
				set.Labels[i] = rng.Int32N(classes)
			}
		}
		images, err = w.descent.climbAll(ctx, w.natural, images, set.Labels, w.opt.Batch, w.opt.Seed)
		set.Name = fmt.Sprintf("%s, moved towards classes of %s", w.train.Name, w.natural.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("analysis: set %s: %w", name, err)
	}
	set.Images = toBytes(images)
	return &set, nil
}

// shuffled are images in another order.
func shuffled(images []float32, order []int) []float32 {
	out := make([]float32, 0, len(images))
	for _, i := range order {
		out = append(out, rowOf(images, i, len(order))...)
	}
	return out
}

// describe compares a set with the original one.
func (w *workshop) describe(ctx context.Context, name string, set *data.Set) (f FeatureSet, err error) {
	f = FeatureSet{Name: name, Shown: set.Images[:w.opt.Shown*imageValues], Labels: labelNames(set, w.opt.Shown)}
	for _, of := range []struct {
		net             *subject
		label, original *float64
	}{{w.natural, &f.NaturalSees, &f.NaturalSeesOriginal}, {w.robust, &f.RobustSees, &f.RobustSeesOriginal}} {
		out, err := w.classify.onAll(ctx, of.net, pixels(set.Images), nil, w.opt.Batch)
		if err != nil {
			return f, fmt.Errorf("analysis: network %s: %w", of.net.Name, err)
		}
		*of.label, *of.original = accuracyOf(out[0], set.Labels), accuracyOf(out[0], w.train.Labels)
	}
	n := set.Len()
	for i := range n {
		var squares float64
		for k, v := range set.Image(i) {
			d := (float64(v) - float64(w.train.Image(i)[k])) / 255
			squares += d * d
		}
		f.Change += math.Sqrt(squares) / float64(n)
	}
	return f, nil
}
