package similarity

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/weights"
	"cure/data/mini"
)

const complete = "../../../shared/fixtures/open/cka.safetensors"

// network is O, the network of the reference values.
func network(t testing.TB) *nn.State {
	t.Helper()
	s, _, err := nn.LoadFile(nn.Arch{Name: "resnet18", Width: 16, Classes: 10}, "../testdata/torch/model_O.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clean are the first n test images in [0,1].
func clean(n int) []float32 {
	x := make([]float32, n*3072)
	for i, v := range mini.Test().Images[:len(x)] {
		x[i] = float32(v) / 255
	}
	return x
}

// layersOf are the layers of the reference values: the first convolution before its norm, the four stages, the logits.
func layersOf(t testing.TB, s *nn.State, images []float32, pooled bool) []Layer {
	t.Helper()
	n := len(images) / 3072
	all, err := Activations(mltest.XLA(t), s, images, 100, pooled)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Layer{}
	for _, l := range all {
		byName[l.Name] = l
	}
	exec := MustNewExec(mltest.XLA(t), func(w, x *Node) *Node {
		y := Convolve(x, w).PadSame().Done()
		if pooled {
			y = ReduceMean(y, 1, 2)
		}
		return Reshape(y, n, -1)
	})
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(s.Values["conv1.weight"], 3, 3, 3, 16), tensors.FromFlatDataAndDimensions(images, n, 32, 32, 3))
	if err != nil {
		t.Fatal(err)
	}
	v, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		t.Fatal(err)
	}
	layers := []Layer{{Name: "conv1", Width: len(v) / n, Values: v}}
	for _, name := range []string{"layer1.1", "layer2.1", "layer3.1", "layer4.1", "logits"} {
		layers = append(layers, byName[name])
	}
	return layers
}

// measures are all that the reference has, by its names.
func measures(t testing.TB, a, b []Layer, flat bool) map[string]func(i, j int) (float64, error) {
	t.Helper()
	gram := func(l Layer) *mat.SymDense {
		k, err := LinearGram(mltest.XLA(t), l.Values, len(l.Values)/l.Width)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	var ka, kb []*mat.SymDense
	for i := range a {
		ka, kb = append(ka, gram(a[i])), append(kb, gram(b[i]))
	}
	list := map[string]func(i, j int) (float64, error){
		"linear_biased":      func(i, j int) (float64, error) { return CKA(ka[i], kb[j]), nil },
		"linear_debiased":    func(i, j int) (float64, error) { return UnbiasedCKA(ka[i], kb[j]), nil },
		"linear_minibatch64": func(i, j int) (float64, error) { return MinibatchCKA(ka[i], kb[j], 64) },
	}
	for _, threshold := range []float64{0.5, 1} {
		var ra, rb []*mat.SymDense
		for i := range ka {
			ra, rb = append(ra, RBFGram(ka[i], threshold)), append(rb, RBFGram(kb[i], threshold))
		}
		list[fmt.Sprintf("rbf_threshold%.1f_biased", threshold)] = func(i, j int) (float64, error) { return CKA(ra[i], rb[j]), nil }
		list[fmt.Sprintf("rbf_threshold%.1f_debiased", threshold)] = func(i, j int) (float64, error) { return UnbiasedCKA(ra[i], rb[j]), nil }
	}
	if flat {
		return list
	}
	list["mean_cca"] = func(i, j int) (float64, error) { return MeanCCA(a[i].Dense(), b[j].Dense()) }
	list["mean_cca_by_qr"] = list["mean_cca"]
	list["svcca_ndims10"] = func(i, j int) (float64, error) { return SVCCA(a[i].Dense(), b[j].Dense(), 10) }
	list["pwcca_textbook_qr"] = func(i, j int) (float64, error) { return PWCCA(a[i].Dense(), b[j].Dense()) }
	list["procrustes"] = func(i, j int) (float64, error) { return Procrustes(a[i].Dense(), b[j].Dense()) }
	return list
}

// TestParity compares every measure, for all pairs of layers, with PyTorch and the code of the CURE paper.
func TestParity(t *testing.T) {
	text, err := os.ReadFile("testdata/cka.json")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	s := network(t)
	images := map[string][]float32{"nat": clean(256)}
	if d, err := weights.Read(complete); err == nil {
		delta, _ := d.Get("delta_q")
		adv := clean(256)
		for i, b := range delta.Data { // int8 [N, 3, 32, 32]
			v := int8(b)
			image, rest := i/3072, i%3072
			k := image*3072 + rest%1024*3 + rest/1024
			adv[k] = float32(math.Min(math.Max(float64(adv[k])+float64(v)/4080, 0), 1))
		}
		images["adv"] = adv
	}
	for _, form := range []string{"flat", "pooled"} {
		layers := map[string][]Layer{}
		for name, x := range images {
			layers[name] = layersOf(t, s, x, form == "pooled")
		}
		for other := range layers {
			var want map[string]json.RawMessage
			if err := json.Unmarshal(file[form+".nat_"+other], &want); err != nil {
				t.Fatal(err)
			}
			for name, measure := range measures(t, layers["nat"], layers[other], form == "flat") {
				var matrix [][]float64
				if err := json.Unmarshal(want[name], &matrix); err != nil {
					t.Fatalf("%s %s: %v", form, name, err)
				}
				for i, row := range matrix {
					for j, w := range row {
						got, err := measure(i, j)
						if err != nil {
							t.Fatal(err)
						}
						atol, rtol := 1e-4, 0.0
						switch name {
						case "mean_cca", "mean_cca_by_qr", "svcca_ndims10", "pwcca_textbook_qr", "procrustes":
							atol, rtol = 1e-5, 1e-3
						}
						mltest.Close(t, fmt.Sprintf("%s nat-%s %s [%d][%d]", form, other, name, i, j), []float64{got}, []float64{w}, atol, rtol)
					}
				}
			}
		}
	}
}

func random(rng *rand.Rand, n, d int) *mat.Dense {
	v := make([]float64, n*d)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return mat.NewDense(n, d, v)
}

func gramOf(x *mat.Dense) *mat.SymDense {
	var k mat.SymDense
	k.SymOuterK(1, x)
	return &k
}

// TestInvariance: rotations, scales and shifts of features change nothing; independent features are alike by chance only.
func TestInvariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, y := random(rng, 200, 12), random(rng, 200, 12)
	var qr mat.QR
	qr.Factorize(random(rng, 12, 12))
	var q, turned mat.Dense
	qr.QTo(&q)
	turned.Mul(x, &q)
	turned.Scale(-3.7, &turned)
	for i := range 200 {
		for j := range 12 {
			turned.Set(i, j, turned.At(i, j)+float64(j))
		}
	}
	pair := func(a, b *mat.Dense) map[string]float64 {
		k, l := gramOf(a), gramOf(b)
		m := map[string]float64{"CKA": CKA(k, l), "unbiased CKA": UnbiasedCKA(k, l),
			"RBF CKA": CKA(RBFGram(k, 1), RBFGram(l, 1)), "unbiased RBF CKA": UnbiasedCKA(RBFGram(k, 1), RBFGram(l, 1))}
		for name, f := range map[string]func(a, b *mat.Dense) (float64, error){
			"mean CCA": MeanCCA, "PWCCA": PWCCA, "1 - Procrustes": func(a, b *mat.Dense) (float64, error) {
				d, err := Procrustes(a, b)
				return 1 - d, err
			}, "SVCCA": func(a, b *mat.Dense) (float64, error) { return SVCCA(a, b, 12) },
		} {
			v, err := f(a, b)
			if err != nil {
				t.Fatal(err)
			}
			m[name] = v
		}
		full, err := MinibatchCKA(k, l, 200)
		if err != nil {
			t.Fatal(err)
		}
		m["minibatch CKA of all"] = full
		return m
	}
	same, rotated, apart := pair(x, x), pair(x, &turned), pair(x, y)
	for name := range same {
		if math.Abs(same[name]-1) > 1e-9 || math.Abs(rotated[name]-1) > 1e-9 {
			t.Errorf("%s: %v with itself, %v with its rotation, want 1", name, same[name], rotated[name])
		}
	}
	// Under independence the unbiased estimates have mean 0 and a deviation of about 1/n here.
	for _, name := range []string{"unbiased CKA", "unbiased RBF CKA"} {
		if math.Abs(apart[name]) > 0.05 {
			t.Errorf("%s of independent features: %v, want near 0", name, apart[name])
		}
	}
	if biased := apart["CKA"]; biased < 0.03 {
		t.Errorf("the biased CKA of 12 independent features on 200 inputs is %v, want clearly above 0: is it debiased?", biased)
	}
	if got, want := apart["minibatch CKA of all"], apart["unbiased CKA"]; math.Abs(got-want) > 1e-12 {
		t.Errorf("one batch of all inputs gives %v, the unbiased CKA %v", got, want)
	}
	if got := apart["mean CCA"]; got <= 0 || got >= 0.6 {
		t.Errorf("mean CCA of independent features: %v", got)
	}
}

// TestConstantLayers: dead and constant features, alone or among others, never give NaN.
func TestConstantLayers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	x := random(rng, 50, 6)
	dead, constant, partly := mat.NewDense(50, 4, nil), mat.NewDense(50, 4, nil), mat.DenseCopyOf(x)
	for i := range 50 {
		for j := range 4 {
			constant.Set(i, j, 1e6+0.1)
		}
		partly.Set(i, 0, 0)
		partly.Set(i, 1, partly.At(i, 2))
	}
	for name, y := range map[string]*mat.Dense{"dead": dead, "constant": constant} {
		k, l := gramOf(x), gramOf(y)
		batch, err := MinibatchCKA(k, l, 16)
		if err != nil {
			t.Fatal(err)
		}
		values := []float64{CKA(k, l), UnbiasedCKA(k, l), batch, CKA(RBFGram(k, 1), RBFGram(l, 1)), UnbiasedCKA(RBFGram(l, 1), RBFGram(l, 1))}
		for _, f := range []func(a, b *mat.Dense) (float64, error){MeanCCA, PWCCA} {
			v, err := f(x, y)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		for i, v := range values {
			if v != 0 {
				t.Errorf("%s: measure %d is %v, want 0", name, i, v)
			}
		}
		if d, err := Procrustes(x, y); err != nil || d != 1 {
			t.Errorf("%s: Procrustes %v %v, want 1", name, d, err)
		}
	}
	for _, f := range []func(a, b *mat.Dense) (float64, error){MeanCCA, PWCCA, Procrustes} {
		if v, err := f(partly, x); err != nil || math.IsNaN(v) {
			t.Errorf("with a dead and a repeated feature: %v %v", v, err)
		}
	}
	nan := mat.DenseCopyOf(x)
	nan.Set(3, 2, math.NaN())
	if _, err := MeanCCA(nan, x); err == nil {
		t.Error("NaN among the features is no error")
	}
	if _, err := MinibatchCKA(gramOf(x), gramOf(x), 3); err == nil {
		t.Error("batches of 3 are no error")
	}
}

// TestActivations: batches do not matter, and pooling averages over space.
func TestActivations(t *testing.T) {
	s := network(t)
	a, err := Activations(mltest.XLA(t), s, clean(10), 10, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Activations(mltest.XLA(t), s, clean(10), 4, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != 10 || len(b) != 10 || a[0].Name != "stem" || a[9].Name != "logits" {
		t.Fatalf("%d and %d layers, first %s: want stem, eight blocks and logits", len(a), len(b), a[0].Name)
	}
	mltest.Close(t, "logits in other batches", b[9].Values, a[9].Values, 1e-4, 0)
	for k, l := range a[:9] {
		channels := b[k].Width
		want := make([]float64, 10*channels)
		for i, v := range l.Values {
			want[i/l.Width*channels+i%channels] += float64(v) / float64(l.Width/channels)
		}
		mltest.Close(t, "pooled "+l.Name, b[k].Values, want, 1e-4, 0)
		mltest.Close(t, "on the host, pooled "+l.Name, l.Pooled().Values, want, 1e-5, 0)
	}
}
