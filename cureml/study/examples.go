package study

import (
	"errors"
	"fmt"
	"os"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/weights"
	"cure/data"
)

// Examples are images, what an attack made of them, and what the network says to both.
type Examples struct {
	Set *data.Set // the clean images and their labels
	Eps float64   // the attack's budget, in pixels of [0, 1]
	// Clean and Adv are the images, [N, 32, 32, 3] in [0, 1]. Adv is the clean image where the network is wrong about that
	// already: there was no need to attack.
	Clean, Adv []float32
	// CleanProbs and AdvProbs are the network's probabilities of the classes, [N, C].
	CleanProbs, AdvProbs []float32
}

// Examples attacks networks, named as for [Study.Attack], on the first n test images, and returns the images for each.
// Like reports, they are kept in a file.
func (s *Study) Examples(networks []string, attack attacks.Attack, n int) ([]*Examples, error) {
	if attack.Method == nil {
		return nil, fmt.Errorf("study: the attack %q makes no images", attack.Name)
	}
	sets, err := s.Sets()
	if err != nil {
		return nil, err
	}
	set, err := first(sets.Test, n)
	if err != nil {
		return nil, err
	}
	v := &evaluator{study: s}
	defer v.close()
	all := make([]*Examples, len(networks))
	for i, name := range networks {
		net, err := s.network(name)
		if err != nil {
			return nil, err
		}
		path, err := s.file(net, "examples-%s.safetensors", set, []attacks.Attack{attack})
		if err != nil {
			return nil, err
		}
		e := &Examples{Set: set, Eps: attack.Method.Budget().Eps, Clean: floats(set.Images)}
		all[i] = e
		if err := e.read(path); err == nil {
			continue
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		r, err := v.evaluate(net, set, []attacks.Attack{attack}, true)
		if err != nil {
			return nil, err
		}
		e.Adv = r.Attacks[0].Adv
		if err := e.predict(s, net); err != nil {
			return nil, err
		}
		if err := e.write(path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func floats(images []uint8) []float32 {
	f := make([]float32, len(images))
	for i, v := range images {
		f[i] = float32(v) / 255
	}
	return f
}

// predict fills in the probabilities.
func (e *Examples) predict(s *Study, net *network) error {
	model, err := s.model(net)
	if err != nil {
		return err
	}
	defer free(model)
	exec, err := NewExec(model.Backend, func(inputs []*Node) *Node {
		last := len(inputs) - 1
		return Softmax(model.Logits(inputs[:last], inputs[last]), -1)
	})
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	defer exec.Finalize()
	probabilities := func(images []float32) ([]float32, error) {
		inputs := make([]any, 0, len(model.Weights)+1)
		for _, w := range model.Weights {
			inputs = append(inputs, w)
		}
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(images, e.N(), data.Height, data.Width, data.Channels))
		outputs, err := exec.Call(inputs...)
		if err != nil {
			return nil, fmt.Errorf("study: %w", err)
		}
		return tensors.CopyFlatData[float32](outputs[0])
	}
	if e.CleanProbs, err = probabilities(e.Clean); err != nil {
		return err
	}
	e.AdvProbs, err = probabilities(e.Adv)
	return err
}

func (e *Examples) write(path string) error {
	d := &weights.Dict{}
	n := e.N()
	d.Set("adv", weights.Float32s([]int{n, data.Height, data.Width, data.Channels}, e.Adv))
	d.Set("clean_probs", weights.Float32s([]int{n, len(e.CleanProbs) / n}, e.CleanProbs))
	d.Set("adv_probs", weights.Float32s([]int{n, len(e.AdvProbs) / n}, e.AdvProbs))
	return weights.WriteSafetensors(path, d)
}

func (e *Examples) read(path string) error {
	d, err := weights.Read(path)
	if err != nil {
		return err
	}
	for name, into := range map[string]*[]float32{"adv": &e.Adv, "clean_probs": &e.CleanProbs, "adv_probs": &e.AdvProbs} {
		t, ok := d.Get(name)
		if !ok || len(t.Shape) == 0 || t.Shape[0] != e.N() {
			return fmt.Errorf("study: %s has no tensor %s for %d images", path, name, e.N())
		}
		if *into, err = t.Float32(); err != nil {
			return fmt.Errorf("study: %s: tensor %s: %w", path, name, err)
		}
	}
	return nil
}
