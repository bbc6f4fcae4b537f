package analysis

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"

	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/data"
)

// Moment is a network at a point of its training.
type Moment struct {
	Network
	// Revision is the average that CURE keeps beside the network; nil where there is none, or where it is not known.
	Revision *nn.State
	Epoch    int // that it has been trained for; -1 where that is not known
}

// Moments are the snapshots that the run in dir has kept of its student (cureml.Config.SaveEvery), in order. name is the
// run's in tables.
func Moments(dir, name string) ([]Moment, error) {
	epochs, err := cureml.Snapshots(dir)
	if err != nil {
		return nil, err
	}
	if len(epochs) == 0 {
		return nil, fmt.Errorf("analysis: %s keeps no snapshots: train it with save_every", dir)
	}
	moments := make([]Moment, len(epochs))
	for i, epoch := range epochs {
		student, err := cureml.LoadSnapshot(dir, cureml.Student, epoch)
		if err != nil {
			return nil, err
		}
		moments[i] = Moment{Network: Network{Name: fmt.Sprintf("%s, epoch %d", name, epoch), State: student.State}, Epoch: epoch}
		revision, err := cureml.LoadSnapshot(dir, cureml.Revision, epoch)
		switch {
		case err == nil:
			moments[i].Revision = revision.State
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return moments, nil
}

// Still are networks of which no training is known, as moments.
func Still(nets []Network) []Moment {
	moments := make([]Moment, len(nets))
	for i, n := range nets {
		moments[i] = Moment{Network: n, Epoch: -1}
	}
	return moments
}

// stills are the networks of moments.
func stills(moments []Moment) (nets []Network) {
	for _, m := range moments {
		nets = append(nets, m.Network)
	}
	return nets
}

// sameForm says whether two networks have the same tensors.
func sameForm(a, b *nn.State) bool { return reflect.DeepEqual(a.Tensors, b.Tensors) }

// checkMoments is checkInput for moments, which must have one form.
func checkMoments(moments []Moment, set *data.Set) error {
	if err := checkInput(stills(moments), set); err != nil {
		return err
	}
	for _, m := range moments {
		if !sameForm(m.State, moments[0].State) {
			return fmt.Errorf("analysis: %s is a %s, %s a %s: want networks of one form", m.Name, m.Arch, moments[0].Name, moments[0].Arch)
		}
		if m.Revision != nil && !sameForm(m.Revision, m.State) {
			return fmt.Errorf("analysis: %s is a %s, its revision model a %s", m.Name, m.Arch, m.Revision.Arch)
		}
	}
	return nil
}

// wholeBatches is how many batches of a size a set holds.
func wholeBatches(set *data.Set, size int) (int, error) {
	if size < 2 {
		return 0, fmt.Errorf("analysis: batches of %d images: want 2 or more, as batch norm does", size)
	}
	if set.Len() < size {
		return 0, fmt.Errorf("analysis: %d images are less than one batch of %d", set.Len(), size)
	}
	return set.Len() / size, nil
}

// eachAttacked attacks the first images of a set through a network, in whole batches, and hands them over. The random
// numbers of a batch depend on seed and on its number alone.
func eachAttacked(ctx context.Context, s *subject, attack *ascent, set *data.Set, batches, size int, seed uint64, f func(b *batch, adv *tensors.Tensor) error) error {
	n := batches * size
	return eachBatch(s.Image, pixels(set.Images[:n*imageValues]), set.Labels[:n], size, func(b *batch) error {
		rng := data.Stream(seed, "analysis/attack", uint64(b.first/size))
		adv, err := attack.climb(ctx, s, b, func(int) *rand.Rand { return rng })
		if err != nil {
			return err
		}
		defer free(adv)
		return f(b, adv)
	})
}

// ends are the first and the last of the networks of a training, all where no epochs are known.
func ends[T any](networks []T, epoch func(T) int) []T {
	if len(networks) < 2 || epoch(networks[0]) < 0 {
		return networks
	}
	return []T{networks[0], networks[len(networks)-1]}
}
