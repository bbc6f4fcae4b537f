package benchmark

import (
	"context"
	"errors"
	"fmt"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/recipes"
	"cure/cureml/study"
)

// Train makes sure that the run of a row is finished, and those of the rows whose networks it starts or learns from
// before, and returns its folder. The test images have no part in it.
func (b *Benchmark) Train(ctx context.Context, row recipes.Row, arch nn.Arch, seed uint64) (dir string, err error) {
	name := recipes.Folder(row.Name, arch, seed)
	dir = b.run(name)
	if err := b.broken[name]; err != nil {
		return dir, err
	}
	for _, need := range row.Needs() {
		other, err := recipes.Find(need)
		if err == nil {
			_, err = b.Train(ctx, other, arch, seed)
		}
		if err != nil {
			return dir, fmt.Errorf("the row %s, which it needs: %w", need, err)
		}
	}
	c, err := b.config(row, arch, seed)
	if err != nil {
		return dir, err
	}
	if done, err := b.trained(dir, c); done || err != nil {
		return dir, err
	}
	if err := b.train(ctx, name, row, c); err != nil {
		if ctx.Err() == nil && !errors.Is(err, cureml.ErrInUse) {
			b.broken = with(b.broken, name, err)
		}
		return dir, err
	}
	return dir, nil
}

// trained says whether dir holds the finished run of c; a run of another config is an error.
func (b *Benchmark) trained(dir string, c cureml.Config) (bool, error) {
	if !cureml.IsRun(dir) {
		return false, nil
	}
	old, err := cureml.ReadConfig(dir)
	if err != nil {
		return false, err
	}
	if changes := recipes.Changes(old, c); len(changes) > 0 {
		return false, b.other(dir, changes)
	}
	return study.Finished(dir, c), nil
}

func (b *Benchmark) train(ctx context.Context, name string, row recipes.Row, c cureml.Config) error {
	if cureml.InUse(b.run(name)) { // before it says that it trains
		return fmt.Errorf("benchmark: %s %w", b.run(name), cureml.ErrInUse)
	}
	sets, err := b.images()
	if err != nil {
		return err
	}
	device, err := b.backend()
	if err != nil {
		return err
	}
	expected := b.Expected(row, c)
	if expected != "" {
		expected = ", " + expected
	}
	b.logf("%s: training, epochs: %d%s", name, c.Epochs, expected)
	if _, err = cureml.Train(ctx, device, c, cureml.Sets{Train: sets.Train}, b.run(name), true, b.Log); err != nil {
		return err
	}
	return writeOrigin(b.run(name))
}

// with puts a value into a map that may be nil.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil {
		m = map[K]V{}
	}
	m[k] = v
	return m
}
