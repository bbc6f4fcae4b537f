package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// RevisionOptions are the settings of [CompareRevision].
type RevisionOptions struct {
	Attack attacks.Attack // by which robust accuracy is measured
	Batch  int            // of images that are attacked at a time; 0 means attacks.DefaultBatch
	Seed   int64
}

// Revision sets a student beside its revision model, CURE's slow average of it, over a training.
type Revision struct {
	Data   string `json:"data"`
	Images int    `json:"images"`
	Attack string `json:"attack"`
	// Blocks are the stem, the stages and the classifier.
	Blocks  []string         `json:"blocks"`
	Moments []RevisionMoment `json:"moments"`
}

// RevisionMoment is one moment of it.
type RevisionMoment struct {
	Name    string   `json:"name"`
	Epoch   int      `json:"epoch"`
	Student Accuracy `json:"student"`
	Average Accuracy `json:"average"`
	// Distance is ‖θ_rev - θ‖ / ‖θ‖ over the trained weights of each block.
	Distance []float64 `json:"distance"`
	// Divergence is the mean of KL(p_rev(x) ‖ p(x)) over clean images, in nats; Disagree is the share of them that the two
	// networks classify differently.
	Divergence float64 `json:"divergence"`
	Disagree   float64 `json:"disagree"`
}

// Accuracy on clean images and under attack.
type Accuracy struct {
	Nat    float64 `json:"nat"`
	Robust float64 `json:"robust"`
}

// CompareRevision measures students and their revision models on all images of a set, both in mode E, the average with
// statistics of its own. Every moment must have a revision model.
func CompareRevision(ctx context.Context, device compute.Backend, moments []Moment, set *data.Set, o RevisionOptions) (*Revision, error) {
	if err := checkMoments(moments, set); err != nil {
		return nil, err
	}
	for _, m := range moments {
		if m.Revision == nil {
			return nil, fmt.Errorf("analysis: %s has no revision model: want snapshots of a run of CURE", m.Name)
		}
	}
	first := moments[0].State
	if o.Attack.Method == nil {
		return nil, fmt.Errorf("analysis: attack %q: want one that attacks, such as pgd20", o.Attack.Name)
	}
	if err := o.Attack.Validate(first.Arch.Classes); err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	p := newPair(o, set)
	defer p.Close()
	found, err := measureEach(device, stills(moments), func(i int, s *subject) (RevisionMoment, error) {
		average := seat(device, Network{s.Name, moments[i].Revision})
		defer average.free()
		one, err := p.measure(ctx, s, average, set)
		one.Epoch, one.Distance = moments[i].Epoch, blockDistances(s.State, average.State)
		return one, err
	})
	if err != nil {
		return nil, err
	}
	return &Revision{Data: set.Name, Images: set.Len(), Attack: o.Attack.Name, Blocks: blockNames(first), Moments: found}, nil
}

// blockNames are those of the blocks of a network, in order.
func blockNames(s *nn.State) []string {
	names := []string{"stem"}
	for block := 1; block < nn.ClassifierBlock; block++ {
		for _, t := range s.Tensors {
			if s.Arch.Block(t.Name) == block {
				names = append(names, fmt.Sprintf("block %d", block))
				break
			}
		}
	}
	return append(names, "classifier")
}

// blockDistances are the lengths of b - a over those of a, by block.
func blockDistances(a, b *nn.State) (distances []float64) {
	for block := 0; block <= nn.ClassifierBlock; block++ {
		var change, size float64
		count := 0
		for _, t := range a.Tensors {
			if a.Arch.Block(t.Name) != block || !t.Kind.Trainable() {
				continue
			}
			count++
			for k, v := range a.Values[t.Name] {
				d := float64(b.Values[t.Name][k]) - float64(v)
				change, size = change+d*d, size+float64(v)*float64(v)
			}
		}
		if count > 0 {
			distances = append(distances, over(math.Sqrt(change), math.Sqrt(size)))
		}
	}
	return distances
}

// pair has the programs of [CompareRevision].
type pair struct {
	RevisionOptions
	attack *evaluator
	differ *program // x, weights of the average -> [B, 2]: divergence, and 1 where classes differ
}

func newPair(o RevisionOptions, set *data.Set) *pair {
	p := &pair{RevisionOptions: o, attack: newEvaluator(set)}
	if o.Batch != 0 {
		p.attack.size = min(o.Batch, set.Len())
	}
	p.differ = newProgram(func(s *subject, weights, in []*Node) []*Node {
		z, slow := s.Logits(weights, in[0]), s.Logits(in[1:], in[0])
		other := NotEqual(ArgMax(z, -1), ArgMax(slow, -1))
		return []*Node{Stack([]*Node{attacks.KL(slow, z), ConvertDType(other, z.DType())}, -1)}
	})
	return p
}

// Close frees the programs.
func (p *pair) Close() { closeAll(p.attack, p.differ) }

func (p *pair) measure(ctx context.Context, student, average *subject, set *data.Set) (one RevisionMoment, err error) {
	one.Name = student.Name
	for _, of := range []struct {
		s    *subject
		into *Accuracy
	}{{student, &one.Student}, {average, &one.Average}} {
		r, err := p.attack.evaluate(ctx, of.s, set, []attacks.Attack{p.Attack}, attacks.Options{Seed: p.Seed})
		if err != nil {
			return one, err
		}
		*of.into = Accuracy{r.Clean.Accuracy, r.RobustAccuracy}
	}
	out, err := p.differ.onAll(ctx, student, pixels(set.Images), nil, p.attack.size, average.Weights...)
	if err != nil {
		return one, err
	}
	n := float64(set.Len())
	for i := range set.Len() {
		row := rowOf(out[0], i, set.Len())
		one.Divergence += float64(row[0]) / n
		one.Disagree += float64(row[1]) / n
	}
	return one, allFinite("the divergence of the two networks,", []float64{one.Divergence})
}
