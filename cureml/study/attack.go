package study

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/google/renameio/v2"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// Attack measures networks on the study's test images, and returns a report for each: the final weights of a run, by its
// name, a shipped network, as zoo:NAME, or one that [Study.Add] has named. A report that was measured before, with the same weights, images and attacks,
// is read from its file.
//
// The seed of all random numbers is 0, and images are numbered by their records.
func (s *Study) Attack(networks []string, list []attacks.Attack) ([]*attacks.Report, error) {
	sets, err := s.Sets()
	if err != nil {
		return nil, err
	}
	v := &evaluator{study: s}
	defer v.close()
	reports := make([]*attacks.Report, len(networks))
	for i, name := range networks {
		net, err := s.network(name)
		if err != nil {
			return nil, err
		}
		path, err := s.file(net, "eval-%s.json", sets.Test, list)
		if err != nil {
			return nil, err
		}
		if reports[i], err = readReport(path); err != nil {
			return nil, err
		}
		if reports[i] != nil {
			continue
		}
		if reports[i], err = v.evaluate(net, sets.Test, list, false); err != nil {
			return nil, err
		}
		if err := writeReport(path, reports[i]); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// readReport returns nil where there is none.
func readReport(path string) (*attacks.Report, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	r := new(attacks.Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("study: %s: %w", path, err)
	}
	return r, nil
}

func writeReport(path string, r *attacks.Report) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = renameio.WriteFile(path, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	return nil
}

// evaluator measures networks with programs that are compiled for the first of them, and again where the form changes.
type evaluator struct {
	study    *Study
	arch     nn.Arch
	programs *attacks.Evaluator
}

func (v *evaluator) evaluate(net *network, set *data.Set, list []attacks.Attack, keep bool) (*attacks.Report, error) {
	model, err := v.study.model(net)
	if err != nil {
		return nil, err
	}
	defer free(model)
	if v.programs == nil || !reflect.DeepEqual(v.arch, net.Arch) {
		v.close()
		v.arch = net.Arch
		if v.programs, err = attacks.NewEvaluator(model, min(attacks.DefaultBatch, set.Len())); err != nil {
			return nil, err
		}
	}
	ctx, cancel := untilInterrupted()
	defer cancel()
	r, err := v.programs.Evaluate(ctx, model.Weights, set.Images, set.Labels, list, attacks.Options{KeepAdv: keep})
	if errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("study: interrupted; doing the same again repeats the attacks on %s", net.name)
	}
	if err != nil {
		return nil, err
	}
	r.Arch, r.Weights, r.Data, r.Records = net.Arch.String(), net.weights, set.Name, [2]int{0, set.Len()}
	return r, nil
}

func (v *evaluator) close() {
	if v.programs != nil {
		v.programs.Close()
	}
}
