package study

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/google/renameio/v2"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/data"
)

// Attack measures the final weights of runs on the study's test images, and returns a report for each. A report that
// was measured before, with the same weights, images and attacks, is read from the run's folder.
//
// The seed of all random numbers is 0, and images are numbered by their records.
func (s *Study) Attack(runs []string, list []attacks.Attack) ([]*attacks.Report, error) {
	sets, err := s.Sets()
	if err != nil {
		return nil, err
	}
	v := &evaluator{study: s}
	defer v.close()
	reports := make([]*attacks.Report, len(runs))
	for i, run := range runs {
		key, err := s.key(run, sets.Test, list)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(s.Run(run), "eval-"+key+".json")
		if reports[i], err = readReport(path); err != nil {
			return nil, err
		}
		if reports[i] != nil {
			continue
		}
		if reports[i], err = v.evaluate(run, sets.Test, list, false); err != nil {
			return nil, err
		}
		if err := writeReport(path, reports[i]); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// key is a name for everything that a measurement depends on.
func (s *Study) key(run string, test *data.Set, list []attacks.Attack) (string, error) {
	sum, err := fileSum(s.Final(run))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("study: the run %s is not finished: it has no final weights yet", s.Run(run))
	}
	if err != nil {
		return "", err
	}
	c, err := cureml.ReadConfig(s.Run(run))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode([]any{sum, c.Arch, test.Name, test.Split, test.Len(), list}); err != nil {
		return "", fmt.Errorf("study: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
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

// evaluator measures runs with programs that are compiled for the first of them, and again where the network changes.
type evaluator struct {
	study    *Study
	arch     nn.Arch
	programs *attacks.Evaluator
}

func (v *evaluator) evaluate(run string, set *data.Set, list []attacks.Attack, keep bool) (*attacks.Report, error) {
	model, state, err := v.study.load(run)
	if err != nil {
		return nil, err
	}
	defer free(model)
	if v.programs == nil || !reflect.DeepEqual(v.arch, state.Arch) {
		v.close()
		v.arch = state.Arch
		if v.programs, err = attacks.NewEvaluator(model, min(attacks.DefaultBatch, set.Len())); err != nil {
			return nil, err
		}
	}
	ctx, cancel := untilInterrupted()
	defer cancel()
	r, err := v.programs.Evaluate(ctx, model.Weights, set.Images, set.Labels, list, attacks.Options{KeepAdv: keep})
	if errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("study: interrupted; running the cell again repeats the attacks on %s", v.study.Run(run))
	}
	if err != nil {
		return nil, err
	}
	r.Arch, r.Weights, r.Data, r.Records = state.Arch.String(), v.study.Final(run), set.Name, [2]int{0, set.Len()}
	return r, nil
}

func (v *evaluator) close() {
	if v.programs != nil {
		v.programs.Close()
	}
}

// load puts the final weights of a run on the device.
func (s *Study) load(run string) (attacks.Model, *nn.State, error) {
	saved, err := cureml.LoadRun(s.Run(run), cureml.Student)
	if err == nil && len(saved.Warnings) > 0 {
		err = errors.New("study: " + saved.Warnings[0])
	}
	if err != nil {
		return attacks.Model{}, nil, err
	}
	device, err := s.Backend()
	if err != nil {
		return attacks.Model{}, nil, err
	}
	return cureml.HostModel(device, saved.State), saved.State, nil
}

// free gives the weights on the device back.
func free(m attacks.Model) {
	for _, w := range m.Weights {
		_ = w.FinalizeAll() // there is nothing to do about a buffer that does not go
	}
}
