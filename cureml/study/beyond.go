package study

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"cure/cureml/analysis"
	"cure/data"
)

// Beyond runs the analyses of notebook 10 on some networks. What was computed before is read.
type Beyond struct {
	study    *Study
	sizes    beyondSizes
	Networks []analysis.Network
}

// beyondSizes are how many test images each analysis takes, counted from the first, and settings that cost time.
type beyondSizes struct {
	landscape, linearity, lipschitz, calibration, boundary, transfer, fairness, sparsity int

	line, plane, steps int // of the landscape, and of its attack
}

var beyondBy = map[string]beyondSizes{
	"ci":    {4, 8, 8, 16, 4, 8, 16, 4, 3, 3, 2},
	"mini":  {64, 256, 256, 384, 64, 192, 768, 48, 15, 13, 5},
	"paper": {512, 1000, 1000, 5000, 500, 1000, 10000, 500, 31, 31, 10},
}

// Beyond opens networks, named as for [Study.Attack]; without names they are those of [Study.Compared].
func (s *Study) Beyond(names ...string) (*Beyond, error) {
	if len(names) == 0 {
		var err error
		if names, err = s.Compared(); err != nil {
			return nil, err
		}
	}
	nets, _, err := s.analysed(names)
	if err != nil {
		return nil, err
	}
	return &Beyond{study: s, sizes: beyondBy[s.Name], Networks: nets}, nil
}

// remembered runs an analysis on the first n test images, or reads what it found before.
func remembered[R, O any](b *Beyond, name string, n int, o O,
	measure func(context.Context, compute.Backend, []analysis.Network, *data.Set, O) (R, error)) (r R, err error) {
	sets, err := readSets(b.study.Data)
	if err != nil {
		return r, err
	}
	set, err := first(sets.Test, n)
	if err != nil {
		return r, err
	}
	key := []any{set.Name, set.Split, set.Len(), o, fmt.Sprintf("%T", r)}
	for _, net := range b.Networks {
		key = append(key, net.Name, net.Sum())
	}
	return Remember(b.study, name, key, func(ctx context.Context) (r R, err error) {
		device, err := b.study.Backend()
		if err != nil {
			return r, err
		}
		return measure(ctx, device, b.Networks, set, o)
	})
}

// Landscape is [analysis.MeasureLandscape].
func (b *Beyond) Landscape() (*analysis.Landscape, error) {
	o := analysis.DefaultLandscape()
	o.Line, o.Plane, o.Steps = b.sizes.line, b.sizes.plane, b.sizes.steps
	return remembered(b, "landscape", b.sizes.landscape, o, analysis.MeasureLandscape)
}

// Linearity is [analysis.MeasureLinearity].
func (b *Beyond) Linearity() (*analysis.Linearity, error) {
	return remembered(b, "linearity", b.sizes.linearity, analysis.DefaultLinearity(), analysis.MeasureLinearity)
}

// Lipschitz is [analysis.MeasureLipschitz].
func (b *Beyond) Lipschitz() (*analysis.Lipschitz, error) {
	return remembered(b, "lipschitz", b.sizes.lipschitz, analysis.DefaultLipschitz(), analysis.MeasureLipschitz)
}

// Calibration is [analysis.MeasureCalibration].
func (b *Beyond) Calibration() (*analysis.Calibration, error) {
	return remembered(b, "calibration", b.sizes.calibration, analysis.DefaultCalibration(), analysis.MeasureCalibration)
}

// Boundary is [analysis.MeasureBoundary].
func (b *Beyond) Boundary() (*analysis.Boundary, error) {
	return remembered(b, "boundary", b.sizes.boundary, analysis.DefaultBoundary(), analysis.MeasureBoundary)
}

// Transfer is [analysis.MeasureTransfer].
func (b *Beyond) Transfer() (*analysis.Transfer, error) {
	return remembered(b, "transfer", b.sizes.transfer, analysis.DefaultTransfer(), analysis.MeasureTransfer)
}

// Fairness is [analysis.MeasureFairness].
func (b *Beyond) Fairness() (*analysis.Fairness, error) {
	return remembered(b, "fairness", b.sizes.fairness, analysis.DefaultFairness(), analysis.MeasureFairness)
}

// Sparsity is [analysis.MeasureSparsity].
func (b *Beyond) Sparsity() (*analysis.Sparsity, error) {
	return remembered(b, "sparsity", b.sizes.sparsity, analysis.DefaultSparsity(), analysis.MeasureSparsity)
}
