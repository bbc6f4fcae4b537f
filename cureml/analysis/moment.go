package analysis

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"cure/cureml"
	"cure/cureml/nn"
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

// sameForm says whether two networks have the same tensors.
func sameForm(a, b *nn.State) bool { return reflect.DeepEqual(a.Tensors, b.Tensors) }
