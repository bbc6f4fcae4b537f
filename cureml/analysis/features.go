package analysis

import (
	"context"

	"github.com/gomlx/compute"

	"cure/data"
	"cure/viz"
)

// FeatureOptions are the settings of [LookAtFeatures].
type FeatureOptions struct {
	Visual    VisualOptions
	Inversion Inversion
	Attention AttentionOptions
	Shown     int // images to invert and to show maps of, the first of the set; 0 is 6
	Batch     int // of the input gradients; 0 is 32
}

// Features is what networks use of images, from four sides.
type Features struct {
	Visuals    *Visuals        `json:"visuals"`
	Inversions *Inversions     `json:"inversions"`
	Gradients  *InputGradients `json:"gradients"`
	Attention  *Attention      `json:"attention"`
	Sets       *FeatureSets    `json:"sets,omitempty"` // by [LearnFeatures], nil where that was not asked for
}

// LookAtFeatures runs [Visualise], [Invert], [MapInputGradients] and [GradCAM] on the images of set, two or more.
func LookAtFeatures(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, opt FeatureOptions) (f *Features, err error) {
	if opt.Shown == 0 {
		opt.Shown = 6
	}
	if opt.Batch == 0 {
		opt.Batch = 32
	}
	opt.Shown = min(opt.Shown, set.Len())
	opt.Attention.Shown = opt.Shown
	shown, err := set.Slice(0, opt.Shown)
	if err != nil {
		return nil, err
	}
	f = &Features{}
	if f.Gradients, err = MapInputGradients(ctx, device, nets, set, opt.Shown, opt.Batch); err != nil {
		return nil, err
	}
	if f.Attention, err = GradCAM(ctx, device, nets, set, opt.Attention); err != nil {
		return nil, err
	}
	if f.Inversions, err = Invert(ctx, device, nets, shown, opt.Inversion); err != nil {
		return nil, err
	}
	f.Visuals, err = Visualise(ctx, device, nets, set, opt.Visual)
	return f, err
}

// parts are the results in the order of the notebook.
func (f *Features) parts() (list []Result) {
	list = []Result{f.Visuals, f.Inversions, f.Gradients, f.Attention}
	if f.Sets != nil {
		list = append(list, f.Sets)
	}
	return list
}

// Tables are those of the parts.
func (f *Features) Tables() (list []*viz.Table) {
	for _, p := range f.parts() {
		list = append(list, p.Tables()...)
	}
	return list
}

// Pictures are those of the parts.
func (f *Features) Pictures() (list []Picture, err error) {
	for _, p := range f.parts() {
		pictures, err := p.Pictures()
		if err != nil {
			return nil, err
		}
		list = append(list, pictures...)
	}
	return list, nil
}
