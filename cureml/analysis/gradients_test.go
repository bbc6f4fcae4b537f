package analysis

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
	"cure/data/mini"
)

// tinyNet is a ResNet-18 of width 1 with random weights, and running statistics that are not those of a new network.
func tinyNet(t testing.TB, name string, seed uint64) Network {
	t.Helper()
	s, err := nn.Init(nn.Arch{Name: "resnet18", Width: 1, Classes: 10}, seed)
	if err != nil {
		t.Fatal(err)
	}
	rng := data.Stream(seed, "statistics")
	for _, tensor := range s.Tensors {
		if tensor.Kind == nn.NormWeight || tensor.Kind == nn.NormBias || tensor.Kind == nn.RunningVar {
			for i := range s.Values[tensor.Name] {
				s.Values[tensor.Name][i] += 0.3 * rng.Float32()
			}
		}
	}
	return Network{name, s}
}

func tinySet(t testing.TB, n int) *data.Set {
	t.Helper()
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func tinyPGD(eps float64) attacks.PGD {
	return attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: eps}, Steps: 2, StepSize: 0.6 * eps, Start: attacks.Uniform, Loss: "ce"}
}

var tinyCure = cureml.CureConfig{Percentile: 0.3, Alpha: 0.4}

// slopesOf are the gradients of one batch on the host, by layer, on clean and on attacked images, and these attacked images.
func slopesOf(t testing.TB, n Network, pgd attacks.PGD, set *data.Set) (nat, adv [][]float32, attacked []float32) {
	t.Helper()
	c, s := newComparison(n.State, GradientOptions{PGD: pgd, Cure: tinyCure}), seat(mltest.GoBackend(t), n)
	defer c.Close()
	defer s.free()
	host := func(x, y *tensors.Tensor) (list [][]float32, err error) {
		out, err := c.slope.run(t.Context(), s, x, y)
		if err != nil {
			return nil, err
		}
		for _, o := range out[1:] {
			list = append(list, values(t, o))
		}
		return list, nil
	}
	err := eachAttacked(t.Context(), s, c.attack, set, 1, set.Len(), 0, func(b *batch, x *tensors.Tensor) (err error) {
		attacked = values(t, x)
		if nat, err = host(b.x, b.y); err != nil {
			return err
		}
		adv, err = host(x, b.y)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return nat, adv, attacked
}

// TestGradientsByDifferences: lengths and cosine of two layers against central differences of the loss, in float64.
func TestGradientsByDifferences(t *testing.T) {
	n, set, pgd := tinyNet(t, "n", 1), tinySet(t, 3), tinyPGD(0.1)
	g, err := MeasureGradients(t.Context(), mltest.GoBackend(t), Still([]Network{n}), set, GradientOptions{PGD: pgd, Cure: tinyCure, Batch: 3})
	if err != nil {
		t.Fatal(err)
	}
	_, _, attacked := slopesOf(t, n, pgd, set)
	loss := newProgram(func(s *subject, weights, in []*Node) []*Node {
		return []*Node{ReduceAllMean(attacks.CrossEntropy(s.forward(nn.TrainFrozen, weights, in[0]), in[1]))}
	})
	defer loss.Close()
	labels := tensors.FromValue(set.Labels)
	double := func(v []float32, shape ...int) *tensors.Tensor {
		d := make([]float64, len(v))
		for i, x := range v {
			d[i] = float64(x)
		}
		return tensors.FromFlatDataAndDimensions(d, shape...)
	}
	differences := func(layer string, x []float32) (slopes []float64) {
		s := seat(mltest.GoBackend(t), n)
		at := -1
		for i, tensor := range n.Tensors {
			s.Weights[i] = double(n.Values[tensor.Name], tensor.Shape...)
			if layerName(tensor) == layer {
				at = i
			}
		}
		images := double(x, 3, 32, 32, 3)
		tensor := n.Tensors[at]
		for k := range n.Values[tensor.Name] {
			var sides [2]float64
			const h = 1e-7 // a larger step crosses kinks of ReLUs
			for side, by := range []float64{h, -h} {
				v, err := tensors.CopyFlatData[float64](double(n.Values[tensor.Name], tensor.Shape...))
				if err != nil {
					t.Fatal(err)
				}
				v[k] += by
				s.Weights[at] = tensors.FromFlatDataAndDimensions(v, tensor.Shape...)
				out, err := loss.run(t.Context(), s, images, labels)
				if err != nil {
					t.Fatal(err)
				}
				sides[side] = tensors.ToScalar[float64](out[0])
			}
			slopes = append(slopes, (sides[0]-sides[1])/(2*h))
		}
		return slopes
	}
	for i, l := range g.Layers {
		if l.Name != "conv1" && l.Name != "layer2.0.shortcut.0" {
			continue
		}
		nat, adv := differences(l.Name, pixels(set.Images)), differences(l.Name, attacked)
		var n2, a2, na float64
		differ := 0
		for k := range nat {
			n2, a2, na = n2+nat[k]*nat[k], a2+adv[k]*adv[k], na+nat[k]*adv[k]
			if nat[k]*adv[k] < 0 {
				differ++
			}
		}
		got := g.Networks[0]
		mltest.Close(t, l.Name+": lengths, cosine, signs", []float64{got.Nat[i], got.Adv[i], got.Cosine[i], got.Conflict[i]},
			[]float64{math.Sqrt(n2), math.Sqrt(a2), na / math.Sqrt(n2*a2), float64(differ) / float64(len(nat))}, 1e-5, 1e-3)
		if got.Cosine[i] > 0.999 {
			t.Errorf("%s: cosine %v: the attack does too little for a test", l.Name, got.Cosine[i])
		}
	}
}

// TestUpdatedShares: what reaches the percentile, counted on the host from the gradients themselves; and the spread.
func TestUpdatedShares(t *testing.T) {
	n, set, pgd := tinyNet(t, "n", 2), tinySet(t, 4), tinyPGD(0.1)
	g, err := MeasureGradients(t.Context(), mltest.GoBackend(t), Still([]Network{n}), set, GradientOptions{PGD: pgd, Cure: tinyCure, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	nat, adv, _ := slopesOf(t, n, pgd, set)
	var all []float64
	scores := make([][]float64, len(nat))
	for i := range nat {
		for k := range nat[i] {
			scores[i] = append(scores[i], 0.4*math.Abs(float64(nat[i][k]))+0.6*math.Abs(float64(adv[i][k])))
		}
		all = append(all, scores[i]...)
	}
	reach := func(values []float64, of []float64) float64 {
		sorted := slices.Sorted(slices.Values(of))
		at := 0.3 * float64(len(of)-1)
		low := int(at)
		threshold := sorted[low] + (at-float64(low))*(sorted[min(low+1, len(sorted)-1)]-sorted[low])
		count := 0
		for _, v := range values {
			if v >= threshold {
				count++
			}
		}
		return float64(count)
	}
	differ := 0
	for i, l := range g.Layers[:len(nat)] {
		size := float64(l.Size)
		// An entry at the threshold may fall on either side by rounding.
		got := g.Networks[0]
		mltest.Close(t, l.Name+": updated", []float64{got.Updated[i] * size, got.UpdatedWhole[i] * size}, []float64{reach(scores[i], scores[i]), reach(scores[i], all)}, 1, 0)
		if math.Abs(got.Updated[i]-got.UpdatedWhole[i]) > 0.1 {
			differ++
		}
		var squares, fourth float64
		for _, v := range nat[i] {
			squares, fourth = squares+float64(v)*float64(v), fourth+math.Pow(float64(v), 4)
		}
		mltest.Close(t, l.Name+": spread", []float64{got.NatSpread[i]}, []float64{squares * squares / (size * fourth)}, 0, 1e-5)
	}
	var squares, product, other float64
	for i := range nat {
		for k := range nat[i] {
			n, a := float64(nat[i][k]), float64(adv[i][k])
			squares, product, other = squares+n*n, product+n*a, other+a*a
		}
	}
	whole := len(nat)
	mltest.Close(t, "all layers", []float64{g.Networks[0].Nat[whole], g.Networks[0].Cosine[whole], g.Networks[0].UpdatedWhole[whole] * float64(len(all))},
		[]float64{math.Sqrt(squares), product / math.Sqrt(squares*other), reach(all, all)}, 1e-5, 1e-5)
	if differ < 3 {
		t.Errorf("one threshold and those of the layers differ in %d layers only: the test says nothing", differ)
	}
}

// TestNoAttack: with a budget of 0, the gradients on attacked images are those on clean ones, to the bit.
func TestNoAttack(t *testing.T) {
	n, set := tinyNet(t, "n", 3), tinySet(t, 5)
	nat, adv, _ := slopesOf(t, n, tinyPGD(0), set)
	for i := range nat {
		if !slices.Equal(nat[i], adv[i]) {
			t.Errorf("layer %d: gradients differ", i)
		}
	}
	g, err := MeasureGradients(t.Context(), mltest.GoBackend(t), Still([]Network{n}), set, GradientOptions{PGD: tinyPGD(0), Cure: tinyCure, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	got := g.Networks[0]
	if g.Batches != 2 || got.NatLoss != got.AdvLoss || !slices.Equal(got.Nat, got.Adv) || !slices.Equal(got.NatSpread, got.AdvSpread) {
		t.Errorf("%d batches, losses %v and %v, lengths %v and %v", g.Batches, got.NatLoss, got.AdvLoss, got.Nat, got.Adv)
	}
	for i := range g.Layers {
		if math.Abs(got.Cosine[i]-1) > 1e-12 || got.Conflict[i] != 0 {
			t.Errorf("%s: cosine %v, conflict %v, want 1 and 0", g.Layers[i].Name, got.Cosine[i], got.Conflict[i])
		}
	}
}

// TestDeadLayer: a layer without a gradient has numbers all the same, and pictures.
func TestDeadLayer(t *testing.T) {
	n := tinyNet(t, "dead", 4)
	n.Values["layer1.0.bn2.weight"] = make([]float32, 1) // nothing behind the norm depends on the convolution before it
	moments := []Moment{{Network: n, Epoch: 0}, {Network: tinyNet(t, "live", 4), Epoch: 1}, {Network: tinyNet(t, "last", 5), Epoch: 2}}
	g, err := MeasureGradients(t.Context(), mltest.GoBackend(t), moments, tinySet(t, 2), GradientOptions{PGD: tinyPGD(0.1), Cure: tinyCure, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(g.Layers, func(l WeightLayer) bool { return l.Name == "layer1.0.conv2" })
	if got := g.Networks[0]; got.Nat[i] != 0 || got.Adv[i] != 0 || got.Cosine[i] != 0 || got.NatSpread[i] != 0 || got.Conflict[i] != 0 {
		t.Errorf("dead layer: %v %v %v %v %v, want all 0", got.Nat[i], got.Adv[i], got.Cosine[i], got.NatSpread[i], got.Conflict[i])
	}
	if g.Networks[1].Nat[i] == 0 {
		t.Error("the live layer has no gradient")
	}
	pictures, err := g.Pictures()
	if err != nil || len(pictures) != 3 {
		t.Errorf("%d pictures, error %v", len(pictures), err)
	}
	if tables := g.Tables(); len(tables) != 2 || len(tables[0].Rows) != 3 || len(tables[1].Rows) != 2*len(g.Layers) || tables[1].Rows[len(g.Layers)][0] != "last" {
		t.Error("want a row for each network, and one for each layer of the first and the last network")
	}
}

func TestGradientErrors(t *testing.T) {
	good := Still([]Network{tinyNet(t, "a", 1)})
	wide, err := nn.Init(nn.Arch{Name: "resnet18", Width: 2, Classes: 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	sick := tinyNet(t, "sick", 1)
	sick.Values["conv1.weight"][3] = float32(math.NaN())
	for _, c := range []struct {
		want    string
		moments []Moment
		change  func(o *GradientOptions, set **data.Set)
	}{
		{"no networks", nil, nil},
		{`network "empty" has no weights`, []Moment{{Network: Network{Name: "empty"}}}, nil},
		{"wide is a resnet18-w2, a a resnet18-w1", append(slices.Clone(good), Moment{Network: Network{"wide", wide}}), nil},
		{"tensor conv1.weight holds NaN", Still([]Network{sick}), nil},
		{"batches of 1 images", good, func(o *GradientOptions, _ **data.Set) { o.Batch = 1 }},
		{"4 images are less than one batch of 8", good, func(o *GradientOptions, _ **data.Set) { o.Batch = 8 }},
		{"no images", good, func(_ *GradientOptions, s **data.Set) { *s = nil }},
		{"label 10 of image 2: network a has 10 classes", good, func(_ *GradientOptions, s **data.Set) {
			bad := **s
			bad.Labels = []int32{1, 2, 10, 3}
			*s = &bad
		}},
		{"percentile 1", good, func(o *GradientOptions, _ **data.Set) { o.Cure.Percentile = 1 }},
		{"alpha 2", good, func(o *GradientOptions, _ **data.Set) { o.Cure.Alpha = 2 }},
		{"eps", good, func(o *GradientOptions, _ **data.Set) { o.PGD.Ball.Eps = -1 }},
	} {
		o, set := GradientOptions{PGD: tinyPGD(0.1), Cure: tinyCure, Batch: 2}, tinySet(t, 4)
		if c.change != nil {
			c.change(&o, &set)
		}
		if _, err := MeasureGradients(t.Context(), mltest.GoBackend(t), c.moments, set, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MeasureGradients(ended, mltest.GoBackend(t), good, tinySet(t, 2), GradientOptions{PGD: tinyPGD(0.1), Cure: tinyCure, Batch: 2}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("cancelled: error %v", err)
	}
}
