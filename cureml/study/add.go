package study

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"cure/cureml"
	"cure/cureml/nn"
)

// Add gives the network in a file a name, by which it can stand wherever networks are named, such as in [Study.Attack],
// [Study.Similarity] and [Study.Beyond]:
//
//	err := s.Add("mine", nn.Arch{Name: "resnet18", Width: 64, Classes: 10}, "model.pt")
//
// The file is safetensors or PyTorch's (.pt, .pth), with a state dict or a whole module of that form; [nn.Names] lists
// the forms. It is for images in [0, 1]: a network that wants them normalised has Mean and Std in its Arch. What is
// measured on it is kept in the folder of that name, as for a run. A study is opened anew in each cell of a notebook, so
// the call belongs beside Open.
func (s *Study) Add(name string, a nn.Arch, file string) error {
	switch {
	case name == "" || strings.ContainsAny(name, `:/\`) || !filepath.IsLocal(name):
		return fmt.Errorf("study: a network cannot be called %q: want a word without : and slashes, as it names a folder", name)
	case s.added[name] != nil:
		return fmt.Errorf("study: there is a network %s already, from %s", name, s.added[name].weights)
	case cureml.IsRun(s.Run(name)):
		return fmt.Errorf("study: %s is a run: give the network in %s another name", s.Run(name), file)
	}
	if err := a.Validate(); err != nil {
		return fmt.Errorf("study: network %s: %w", name, err)
	}
	state, warnings, err := cureml.LoadWeights(a, file)
	if err == nil && state.Arch.NoFinalBN && !a.NoFinalBN {
		warnings = append(warnings, "or say NoFinalBN: true in its Arch, if it is the older one")
	}
	if err == nil && len(warnings) > 0 {
		err = errors.New(strings.Join(warnings, "; "))
	}
	if err != nil {
		return fmt.Errorf("study: network %s: %w", name, err)
	}
	if s.added == nil {
		s.added = map[string]*network{}
	}
	s.added[name] = &network{State: state, name: name, weights: file}
	return nil
}
