package analysis

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"cure/viz"
)

// Accuracy is the share of images that the network is right about and that no search brought within eps.
func (n PerturbedNetwork) Accuracy(eps float64) float64 {
	count := 0
	for _, d := range n.Distances {
		if d > eps || d == Missing {
			count++
		}
	}
	return float64(count) / float64(len(n.Distances))
}

// attacked are the distances of the images that the network is right about, in order; missing ones are infinite.
func (n PerturbedNetwork) attacked() (list []float64) {
	for _, d := range n.Distances {
		switch {
		case d == Missing:
			list = append(list, math.Inf(1))
		case d > 0:
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list
}

// Quantile is the distance that the share q of the images that the network is right about do not exceed, between two images
// the mean of theirs. It is [Missing] where it would be that of an image without one, or where there is no image.
func (n PerturbedNetwork) Quantile(q float64) float64 {
	list := n.attacked()
	if len(list) == 0 {
		return Missing
	}
	at := q * float64(len(list)-1)
	d := (list[int(math.Floor(at))] + list[int(math.Ceil(at))]) / 2
	if math.IsInf(d, 1) {
		return Missing
	}
	return d
}

// Curve is the accuracy in % over eps, in units of 1/unit: a step at each distance, down to the share of missing ones.
func (n PerturbedNetwork) Curve(unit float64) viz.Series {
	s := viz.Series{Name: n.Name, X: []float64{0}, Y: []float64{100 * n.Accuracy(0)}, Step: true}
	for _, d := range n.attacked() {
		if x := unit * d; !math.IsInf(x, 1) && x > s.X[len(s.X)-1] {
			s.X, s.Y = append(s.X, x), append(s.Y, 100*n.Accuracy(d))
		}
	}
	return s
}

// harder compares two networks on the images that both are right about: the share of them on which a needs the larger
// perturbation, and how many they are.
func harder(a, b PerturbedNetwork) (share float64, images int) {
	more := 0
	for k, x := range a.Distances {
		y := b.Distances[k]
		if x == 0 || y == 0 {
			continue
		}
		images++
		if y != Missing && (x == Missing || x > y) {
			more++
		}
	}
	return float64(more) / float64(max(images, 1)), images
}

// Packed are float32 values, which JSON shows as base64 of their bytes, the lowest first.
type Packed []float32

// MarshalText is base64.
func (p Packed) MarshalText() ([]byte, error) {
	b, err := binary.Append(nil, binary.LittleEndian, []float32(p))
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText writes.
func (p *Packed) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(b)%4 != 0 {
		return fmt.Errorf("analysis: %.20q: want base64 of float32 values", text)
	}
	values := make([]float32, len(b)/4)
	if _, err := binary.Decode(b, binary.LittleEndian, values); err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	*p = values
	return nil
}
