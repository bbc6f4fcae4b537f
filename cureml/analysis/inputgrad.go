package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/data"
)

// InputGradients are the gradients of the cross-entropy with respect to the image, of some images and as measures over
// all of a set.
type InputGradients struct {
	Images   string                 `json:"images"`
	N        int                    `json:"n"` // that were measured
	Shown    []uint8                `json:"shown"`
	Labels   []string               `json:"labels"` // of Shown
	Networks []InputGradientNetwork `json:"networks"`
}

// InputGradientNetwork is what one network's gradients look like.
type InputGradientNetwork struct {
	Name string `json:"name"`
	// Maps show the gradients of the images Shown as Tsipras et al. (2019) do: clipped to three standard deviations around
	// their mean and spread over [0, 1], each image by itself, RGB.
	Maps []uint8 `json:"maps"`
	// Alignment is |<x - x̄, g>| / (|x - x̄|·|g|) of image x, its mean x̄ and gradient g, averaged over the images (Etmann et
	// al. 2019 have it without x̄ and |x|).
	Alignment float64 `json:"alignment"`
	// Smooth is the share of the gradient's energy in the 8 x 8 lowest of the 32 x 32 frequencies of the cosine transform; of
	// white noise 1/16.
	Smooth float64 `json:"smooth"`
	// Length is |g|₂, the median over the images.
	Length float64 `json:"length"`
}

// MapInputGradients measures the input gradients on the images of set, of which it shows the first.
func MapInputGradients(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, shown, batch int) (*InputGradients, error) {
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	if shown < 1 || shown > set.Len() || batch < 1 {
		return nil, fmt.Errorf("analysis: gradients of %d images in batches of %d, %d shown: want 1 to %d shown", set.Len(), batch, shown, set.Len())
	}
	p := newInputGradient()
	defer p.Close()
	images := pixels(set.Images)
	networks, err := measureEach(device, nets, func(_ int, s *subject) (r InputGradientNetwork, err error) {
		g, err := inputGradients(ctx, p, s, images, set.Labels, batch)
		if err != nil {
			return r, err
		}
		return describeGradients(s.Name, images, g, shown), nil
	})
	if err != nil {
		return nil, err
	}
	return &InputGradients{set.Name, set.Len(), set.Images[:shown*imageValues], labelNames(set, shown), networks}, nil
}

// newInputGradient is ∂ CE(f(x), y)/∂x for images x [B, 32, 32, 3] and labels [B].
func newInputGradient() *program {
	return newProgram(func(s *subject, weights, in []*Node) []*Node {
		_, grad := slopeOf(in[0], func(x *Node) *Node { return attacks.CrossEntropy(s.Logits(weights, x), in[1]) })
		return []*Node{grad}
	})
}

func inputGradients(ctx context.Context, p *program, s *subject, images []float32, labels []int32, batch int) ([]float32, error) {
	out, err := p.onAll(ctx, s, images, labels, batch)
	if err != nil {
		return nil, err
	}
	for i, v := range out[0] {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("the gradient of image %d is %v", i/imageValues, v)
		}
	}
	return out[0], nil
}

func describeGradients(name string, images, gradients []float32, shown int) InputGradientNetwork {
	r := InputGradientNetwork{Name: name}
	n := len(images) / imageValues
	var lengths []float64
	for i := range n {
		x, g := rowOf(images, i, n), rowOf(gradients, i, n)
		r.Alignment += alignment(x, g) / float64(n)
		r.Smooth += lowFrequencies(g, 8) / float64(n)
		lengths = append(lengths, length(g))
		if i < shown {
			r.Maps = append(r.Maps, contrast(g)...)
		}
	}
	r.Length = medianOf(lengths)
	return r
}

// medianOf is the median, the mean of the two in the middle of an even number.
func medianOf(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// alignment is |cos| of the angle between an image less its mean and a gradient; 0 where one of them is but for rounding.
func alignment(x, g []float32) float64 {
	var mean, product, squares float64
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for k, v := range x {
		d := float64(v) - mean
		product += d * float64(g[k])
		squares += d * d
	}
	length := length(g) * math.Sqrt(squares)
	if squares < 1e-12 || length == 0 {
		return 0
	}
	return math.Abs(product) / length
}

// lowFrequencies is the share of an image's energy in the k x k lowest frequencies of its channels; 0 of nothing.
func lowFrequencies(image []float32, k int) float64 {
	whole := length(image)
	if whole == 0 {
		return 0
	}
	d := cosines()
	var low float64
	for c := range data.Channels {
		for i := range k {
			var columns [side32]float64
			for x := range side32 {
				for y := range side32 {
					columns[x] += float64(d[i][y]) * float64(image[(y*side32+x)*data.Channels+c])
				}
			}
			for j := range k {
				var v float64
				for x, a := range columns {
					v += float64(d[j][x]) * a
				}
				low += v * v
			}
		}
	}
	return low / (whole * whole)
}

// contrast spreads the values within three standard deviations of their mean over 0 to 255.
func contrast(v []float32) []uint8 {
	var mean, squares float64
	for _, x := range v {
		mean += float64(x) / float64(len(v))
	}
	for _, x := range v {
		d := float64(x) - mean
		squares += d * d / float64(len(v))
	}
	width := 6 * math.Sqrt(squares)
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = 0.5
		if width > 0 {
			out[i] += float32((float64(x) - mean) / width)
		}
	}
	return toBytes(out)
}
