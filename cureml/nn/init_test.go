package nn

import (
	"math"
	"slices"
	"testing"
)

// TestInit: every tensor follows its documented distribution.
func TestInit(t *testing.T) {
	for _, name := range []string{"resnet18", "preactresnet18", "wrn-10-2", "wrn-10-2-swish", "preactresnet18-swish"} {
		s, err := Init(Arch{Name: name, Width: 16, Classes: 10}, 7)
		if err != nil {
			t.Fatal(err)
		}
		wide := name[:3] == "wrn"
		for _, x := range s.Tensors {
			v := s.Values[x.Name]
			if len(v) != x.Size() {
				t.Fatalf("%s: %s has %d values, want %d", name, x.Name, len(v), x.Size())
			}
			mean, variance, largest := moments(v)
			n := float64(len(v))
			// what is wanted of the variance, the bound of a uniform distribution, and its kurtosis
			var want, bound, kurtosis float64
			fanIn := func(n int) { bound, kurtosis = 1/math.Sqrt(float64(n)), 1.8; want = bound * bound / 3 }
			switch x.Kind {
			case ConvWeight:
				fanIn(x.Shape[0] * x.Shape[1] * x.Shape[2])
				if wide {
					bound, kurtosis, want = math.Inf(1), 3, 2/float64(x.Shape[0]*x.Shape[1]*x.Shape[3])
				}
			case LinearWeight:
				fanIn(x.Shape[0])
			case LinearBias:
				in := s.Values[x.Name[:len(x.Name)-len("bias")]+"weight"]
				if fanIn(len(in) / 10); wide {
					bound, want = 0, 0
				}
			default:
				constant := map[Kind]float32{NormWeight: 1, RunningVar: 1}[x.Kind]
				if slices.ContainsFunc(v, func(f float32) bool { return f != constant }) {
					t.Errorf("%s: %s is not all %v", name, x.Name, constant)
				}
				continue
			}
			if largest > bound {
				t.Errorf("%s: %s reaches %v, the bound is %v", name, x.Name, largest, bound)
			}
			if math.Abs(mean) > 5*math.Sqrt(want/n) {
				t.Errorf("%s: %s has mean %v, want 0 within five standard errors %v", name, x.Name, mean, math.Sqrt(want/n))
			}
			if e := want * math.Sqrt((kurtosis-1)/n); math.Abs(variance-want) > 5*e {
				t.Errorf("%s: %s has variance %v, want %v within five standard errors %v", name, x.Name, variance, want, e)
			}
		}
	}
}

func moments(v []float32) (mean, variance, largest float64) {
	for _, f := range v {
		x := float64(f)
		mean += x
		variance += x * x
		largest = max(largest, math.Abs(x))
	}
	n := float64(len(v))
	return mean / n, variance / n, largest
}

// TestInitStreams: values depend on seed and name alone, so networks share the tensors that they have in common, and no
// two tensors are alike.
func TestInitStreams(t *testing.T) {
	state := func(name string, seed uint64) *State {
		s, err := Init(Arch{Name: name, Width: 4, Classes: 10}, seed)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, again, deeper, other := state("resnet18", 1), state("resnet18", 1), state("resnet34", 1), state("resnet18", 2)
	var ratios []float32
	for _, x := range a.Tensors {
		if x.Kind != ConvWeight && x.Kind != LinearWeight && x.Kind != LinearBias {
			continue
		}
		v := a.Values[x.Name]
		if !slices.Equal(v, again.Values[x.Name]) {
			t.Errorf("%s differs between two calls", x.Name)
		}
		if !slices.Equal(v, deeper.Values[x.Name]) {
			t.Errorf("%s depends on the depth of the network", x.Name)
		}
		if slices.Equal(v, other.Values[x.Name]) {
			t.Errorf("%s does not depend on the seed", x.Name)
		}
		ratio := v[0] / v[1] // free of the scale, which differs
		if slices.Contains(ratios, ratio) {
			t.Errorf("%s has the stream of another tensor", x.Name)
		}
		ratios = append(ratios, ratio)
	}
}
