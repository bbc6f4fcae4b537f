package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml"
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
	if _, err := wholeBatches(moments, set, 2); err != nil {
		return nil, err
	}
	for _, m := range moments {
		if m.Revision == nil {
			return nil, fmt.Errorf("analysis: %s has no revision model: want snapshots of a run of CURE", m.Name)
		}
		if !sameForm(m.Revision, m.State) {
			return nil, fmt.Errorf("analysis: %s is a %s, its revision model a %s", m.Name, m.Arch, m.Revision.Arch)
		}
	}
	first := moments[0].State
	if o.Attack.Method == nil {
		return nil, fmt.Errorf("analysis: attack %q: want one that attacks, such as pgd20", o.Attack.Name)
	}
	if err := o.Attack.Validate(first.Arch.Classes); err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	if o.Batch == 0 {
		o.Batch = attacks.DefaultBatch
	}
	c, err := newPair(device, first, min(o.Batch, set.Len()))
	if err != nil {
		return nil, err
	}
	defer c.free()
	r := &Revision{Data: set.Name, Images: set.Len(), Attack: o.Attack.Name, Blocks: blockNames(first)}
	for _, m := range moments {
		one, err := c.measure(ctx, m, set, o)
		if err != nil {
			return nil, fmt.Errorf("%w (%s)", err, m.Name)
		}
		one.Distance = blockDistances(m.State, m.Revision)
		r.Moments = append(r.Moments, one)
	}
	return r, nil
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
	*exam
	evaluator *attacks.Evaluator
	differ    *Exec // student, average, x -> [B, 2]: divergence, and 1 where classes differ
	size      int
}

func newPair(device compute.Backend, s *nn.State, size int) (p *pair, err error) {
	p = &pair{size: size}
	if p.exam, err = newExam(device, s, attacks.PGD{}, nn.Eval); err != nil {
		return nil, err
	}
	p.differ, err = p.program(func(in []*Node) []*Node {
		student, in := p.net(in)
		average, in := p.net(in)
		z, slow := student.Forward(nn.Eval, in[0]), average.Forward(nn.Eval, in[0])
		other := NotEqual(ArgMax(z, -1), ArgMax(slow, -1))
		return []*Node{Stack([]*Node{attacks.KL(slow, z), ConvertDType(other, z.DType())}, -1)}
	})
	if err == nil {
		model := cureml.HostModel(device, s)
		p.evaluator, err = attacks.NewEvaluator(model, size)
		discard(model.Weights...)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pair) free() {
	p.evaluator.Close()
	p.close()
}

func (p *pair) measure(ctx context.Context, m Moment, set *data.Set, o RevisionOptions) (one RevisionMoment, err error) {
	one = RevisionMoment{Name: m.Name, Epoch: m.Epoch}
	student, average := p.onDevice(m.State), p.onDevice(m.Revision)
	defer discard(append(student, average...)...)
	for into, weights := range map[*Accuracy][]*tensors.Tensor{&one.Student: student, &one.Average: average} {
		r, err := p.evaluator.Evaluate(ctx, weights, set.Images, set.Labels, []attacks.Attack{o.Attack}, attacks.Options{Seed: o.Seed})
		if err != nil {
			return one, fmt.Errorf("analysis: %w", err)
		}
		*into = Accuracy{r.Clean.Accuracy, r.RobustAccuracy}
	}
	const length = data.Height * data.Width * data.Channels
	for first := 0; first < set.Len(); first += p.size {
		pixels := make([]float32, p.size*length) // rows behind the last image stay black, and are not read
		count := min(p.size, set.Len()-first)
		for i, v := range set.Images[first*length : (first+count)*length] {
			pixels[i] = float32(v) / 255
		}
		x := tensors.FromFlatDataAndDimensions(pixels, p.size, data.Height, data.Width, data.Channels)
		out, err := examine(ctx, p.differ, student, average, []*tensors.Tensor{x})
		discard(x)
		if err != nil {
			return one, err
		}
		rows, err := onHost[float32](out[0])
		if err != nil {
			return one, err
		}
		for i := range count {
			one.Divergence += float64(rows[2*i]) / float64(set.Len())
			one.Disagree += float64(rows[2*i+1]) / float64(set.Len())
		}
	}
	if math.IsNaN(one.Divergence) || math.IsInf(one.Divergence, 0) {
		return one, fmt.Errorf("analysis: the divergence of the two networks is %v", one.Divergence)
	}
	return one, nil
}
