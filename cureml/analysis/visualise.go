package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"

	"cure/data"
)

// VisualOptions are the settings of [Visualise].
type VisualOptions struct {
	Channels int     // of the last block of every stage, those that the images move most; 0 is 6
	Steps    int     // of ascent; 0 is 256
	Rate     float64 // of Adam on the spectrum; 0 is 0.05
	// Jitter, in pixels, and Zoom, a share, are how far the image is moved and scaled at random before every step; 0 is 2 and
	// 0.1, a negative value none.
	Jitter, Zoom float64
	// Variation weighs the total variation, the mean absolute difference of neighbouring pixel values in [0, 1], against
	// the activation in standard deviations; 0 is 20, a negative value none.
	Variation float64
	Seed      uint64
}

func (o VisualOptions) check() (VisualOptions, error) {
	if o.Channels == 0 {
		o.Channels = 6
	}
	if o.Steps == 0 {
		o.Steps = 256
	}
	for _, f := range []struct {
		value *float64
		zero  float64
	}{{&o.Rate, 0.05}, {&o.Jitter, 2}, {&o.Zoom, 0.1}, {&o.Variation, 20}} {
		if *f.value == 0 {
			*f.value = f.zero
		}
		*f.value = math.Max(*f.value, 0)
	}
	switch {
	case o.Channels < 1 || o.Channels > 1024:
		return o, fmt.Errorf("analysis: %d channels: want 1 to 1024", o.Channels)
	case o.Steps < 1 || o.Steps > 1e6:
		return o, fmt.Errorf("analysis: %d steps: want 1 or more", o.Steps)
	case !(o.Rate > 0 && o.Rate < 1e3) || !(o.Jitter < side32) || !(o.Zoom < 1) || !(o.Variation < 1e9):
		return o, fmt.Errorf("analysis: rate %v, jitter %v, zoom %v, variation %v: want a rate above 0, a jitter below %d, a zoom below 1",
			o.Rate, o.Jitter, o.Zoom, o.Variation, side32)
	}
	return o, nil
}

// Visuals are images that excite single units of networks.
type Visuals struct {
	Images   string          `json:"images"` // that activations are compared with
	N        int             `json:"n"`
	Steps    int             `json:"steps"`
	Networks []VisualNetwork `json:"networks"`
}

// VisualNetwork are the units of one network: channels of the last block of every stage, and the classes.
type VisualNetwork struct {
	Name   string        `json:"name"`
	Layers []VisualLayer `json:"layers"`
}

// VisualLayer are units of one layer.
type VisualLayer struct {
	Layer string `json:"layer"` // as nn.Net.Tap names it
	Units []Unit `json:"units"`
}

// Unit is a channel, averaged over space, or a logit.
type Unit struct {
	Index int     `json:"index"`
	Name  string  `json:"name"`  // of a class
	Image []uint8 `json:"image"` // [32, 32, 3], RGB
	// Reached is the activation on Image; Mean, Deviation and Most are those on the images of the set.
	Reached   float64 `json:"reached"`
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"deviation"`
	Most      float64 `json:"most"`
}

// Score is how many standard deviations above the mean of real images the unit is on its own image.
func (u Unit) Score() float64 { return (u.Reached - u.Mean) / math.Max(u.Deviation, smallestDeviation) }

// smallestDeviation keeps units that no image moves finite.
const smallestDeviation = 1e-6

// Visualise makes, for units u of each network, the image that maximises
//
//	(u(glance(x)) - mean) / deviation - Variation · TV(x)
//
// where mean and deviation are those of u on the images of set: Adam on the spectrum of x, seen through random glances,
// from next to grey, and again from louder noise where the best image leaves a unit of the layer below its mean.
func Visualise(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, opt VisualOptions) (*Visuals, error) {
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	opt, err := opt.check()
	if err != nil {
		return nil, err
	}
	p := newPainter(opt)
	defer p.Close()
	networks, err := measureEach(device, nets, func(_ int, s *subject) (VisualNetwork, error) { return p.network(ctx, s, set) })
	if err != nil {
		return nil, err
	}
	return &Visuals{set.Name, set.Len(), opt.Steps, networks}, nil
}
