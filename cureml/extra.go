package cureml

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"cure/data"
)

// ExtraConfig mixes further labelled images into every batch of any method: generated ones (Gowal et al. 2021; Rebuffi
// et al. 2021; Wang et al. 2023) or pseudo-labelled ones (Carmon et al. 2019). round(Fraction·B) images of a batch of B
// are extra, and stand at its end. An epoch has as many steps as without them, so that epochs and schedules mean the same.
//
// Training and extra images come in their own shuffled orders, each from the seed, and go on from batch to batch across
// epochs: all images of a set are seen equally often, give or take one. (Rebuffi et al. draw extra images at random with
// repetition, and start a new order of the training images every epoch.) Without extra images, every epoch has an order
// of its own and leaves out its last short batch.
type ExtraConfig struct {
	// Data is a file or folder that [data.Open] takes, such as an npz file of generated images.
	Data string `json:"data"`
	// Fraction of a batch; 0 takes none. 0.7 is usual for a million generated images, 0.5 for pseudo-labelled ones.
	Fraction float64 `json:"fraction"`
}

// count is the number of extra images in a batch.
func (e ExtraConfig) count(batch int) int { return int(math.Round(e.Fraction * float64(batch))) }

func (e ExtraConfig) validate(batch int) error {
	switch {
	case e == (ExtraConfig{}):
		return nil
	case !(e.Fraction > 0 && e.Fraction <= 1):
		return fmt.Errorf("cureml: extra.fraction %v: want the share of extra images in a batch, above 0 and at most 1", e.Fraction)
	case e.Data == "":
		return fmt.Errorf("cureml: extra.data is empty: name the file or folder of the extra images, or set extra.fraction to 0")
	case e.count(batch) == 0:
		return fmt.Errorf("cureml: extra.fraction %v: rounds to no image in a batch of %d", e.Fraction, batch)
	}
	return nil
}

// Open reads the extra images, nil where the config asks for none.
func (e ExtraConfig) Open() (*data.Set, error) {
	if e.Data == "" {
		return nil, nil
	}
	if _, err := os.Stat(e.Data); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cureml: extra.data: %s: no such file or folder", e.Data)
	}
	set, err := data.Open(e.Data, "train")
	if err != nil {
		return nil, fmt.Errorf("cureml: extra.data: %w", err)
	}
	return set, nil
}

// check looks at the extra images that a run was given.
func (e ExtraConfig) check(s Sets) error {
	switch {
	case e.Fraction == 0:
		return nil
	case s.Extra == nil || s.Extra.Len() == 0:
		return fmt.Errorf("cureml: extra.fraction %v: the run was given no extra images (Sets.Extra)", e.Fraction)
	case len(s.Extra.Classes) != len(s.Train.Classes):
		return fmt.Errorf("cureml: extra.data: %s has %d classes, %s has %d", s.Extra.Name, len(s.Extra.Classes), s.Train.Name, len(s.Train.Classes))
	}
	return nil
}
