package attacks

import (
	"fmt"
	"slices"
)

// checkModel names the first thing about a model that is wrong.
func checkModel(model Model) error {
	switch {
	case model.Backend == nil:
		return fmt.Errorf("attacks: the model has no backend")
	case model.Logits == nil && model.Random == nil:
		return fmt.Errorf("attacks: the model has no logits function")
	case model.Logits != nil && model.Random != nil:
		return fmt.Errorf("attacks: the model has both Logits and Random, want one")
	case model.Forwards < 0:
		return fmt.Errorf("attacks: %d forward passes to decide, want at least 1", model.Forwards)
	case model.Classes < 2:
		return fmt.Errorf("attacks: the model has %d classes, want at least 2", model.Classes)
	case slices.Min(model.Image[:]) < 1:
		return fmt.Errorf("attacks: images of height, width, channels %v, want at least 1 each", model.Image)
	}
	return nil
}

// checkRequest names the first thing that is wrong about what an evaluation is asked to do.
func checkRequest(model Model, images []uint8, labels []int32, list []Attack, opt Options) error {
	switch {
	case len(labels) == 0:
		return fmt.Errorf("attacks: no images to evaluate")
	case len(images) != len(labels)*model.pixels():
		return fmt.Errorf("attacks: %d bytes of images, want %d: %d images of %v", len(images), len(labels)*model.pixels(), len(labels), model.Image)
	case opt.Batch < 0:
		return fmt.Errorf("attacks: batch size %d, want at least 1", opt.Batch)
	case opt.Live < 0:
		return fmt.Errorf("attacks: %d live rows, want at least 1, or 0 for all", opt.Live)
	case opt.Index != nil && len(opt.Index) != len(labels):
		return fmt.Errorf("attacks: %d indexes for %d images", len(opt.Index), len(labels))
	}
	for i, y := range labels {
		if y < 0 || int(y) >= model.Classes {
			return fmt.Errorf("attacks: label %d of image %d, want 0 to %d", y, i, model.Classes-1)
		}
	}
	if err := checkTargets(model.Classes, labels, list, opt.Targets); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, a := range list {
		if err := a.Validate(model.Classes); err != nil {
			return err
		}
		if seen[a.Name] {
			return fmt.Errorf("attacks: two attacks are called %s, want different names", a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}
