package bench

import (
	"context"
	"fmt"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/backend"
	"cure/cureml/nn"
	"cure/data"
)

// AutoAttackJob is an evaluation with AutoAttack's standard version to time.
type AutoAttackJob struct {
	Network *nn.State
	Set     *data.Set
	Ball    attacks.Ball
	Seed    int64
	Rows    int    // of the compiled programs; 0 means attacks.DefaultBatch
	Backend string // as backend.Options.Name
	// Official is a folder with a copy of github.com/fra31/auto-attack, and Python an interpreter that has PyTorch, to run
	// the official code on the same images afterwards; "" leaves it out. The network must then be a resnet18.
	Official, Python string
	Threads          int // of PyTorch
	Progress         func(attacks.Progress)
}

// AutoAttackResult compares our evaluation with the official code: its passes by attacks.OfficialPasses, and, where it
// ran, its passes as counted, its seconds and its verdicts.
type AutoAttackResult struct {
	Machine       string            `json:"machine"`
	Versions      map[string]string `json:"versions"`
	Report        *attacks.Report   `json:"report"`
	Seconds       float64           `json:"seconds"` // without compilation
	Passes        int64             `json:"passes"`  // forward plus backward, over one image each, verification included
	FormulaPasses int64             `json:"formula_passes"`
	PassRatio     float64           `json:"pass_ratio"` // Passes / FormulaPasses
	// WeightPasses are the passes back to the weights that the official code makes on top, and WeightRatio is Passes by
	// both counts.
	WeightPasses int64           `json:"formula_weight_passes"`
	WeightRatio  float64         `json:"pass_ratio_with_weights"`
	Official     *OfficialResult `json:"official,omitempty"`
	Speed        float64         `json:"speed,omitempty"` // official seconds / ours
}

// AutoAttack runs the evaluation, and the official code after it, of which [AutoAttackJob.CheckOfficial] says before whether
// it can run. Where it fails there is a result with the error: what was measured here.
func AutoAttack(ctx context.Context, job AutoAttackJob) (*AutoAttackResult, error) {
	list, err := attacks.ParseList("autoattack")
	if err != nil {
		return nil, err
	}
	if list[0], err = list[0].With(attacks.Override{Norm: &job.Ball.Norm, Eps: &job.Ball.Eps}); err != nil {
		return nil, err
	}
	b, err := backend.Open(backend.Options{Name: job.Backend})
	if err != nil {
		return nil, err
	}
	model := cureml.HostModel(b, job.Network)
	r, err := attacks.Evaluate(ctx, model, job.Set.Images, job.Set.Labels, list, attacks.Options{Batch: job.Rows, Seed: job.Seed, Progress: job.Progress})
	if err != nil {
		return nil, err
	}
	r.Arch, r.Data = job.Network.Arch.String(), job.Set.Name
	out := &AutoAttackResult{Machine: Machine(), Versions: versions(), Report: r, Seconds: r.Attacks[0].Seconds}
	out.Passes = int64(r.N) + r.Attacks[0].Forwards + r.Attacks[0].Backwards
	if out.FormulaPasses, out.WeightPasses, err = attacks.OfficialPasses(model.Classes, list[0], r.Attacks[0], r.Clean.Flags); err != nil {
		return nil, err
	}
	out.PassRatio = float64(out.Passes) / float64(out.FormulaPasses)
	out.WeightRatio = float64(out.Passes) / float64(out.FormulaPasses+out.WeightPasses)
	if job.Official == "" {
		return out, nil
	}
	if out.Official, err = job.official(ctx); err != nil {
		return out, fmt.Errorf("bench: the official code: %w", err)
	}
	for i, robust := range out.Official.Robust {
		if robust != r.RobustFlags[i] {
			out.Official.Different++
		}
	}
	out.Speed = out.Official.Seconds / out.Seconds
	return out, nil
}
