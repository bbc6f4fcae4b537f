package nn

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
)

// Network O and PyTorch's values for it; its README names the origin and derives the tolerances.
const torchFolder = "../testdata/torch"

func fixture(name string) string { return filepath.Join(torchFolder, name) }

func readJSON(t *testing.T, name string, to any) {
	t.Helper()
	b, err := os.ReadFile(fixture(name))
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// forwardPass is what a pass over images gives: logits, image averages of the stages, the stages of the first image, the
// mean cross entropy, and after mode T the statistics.
type forwardPass struct {
	logits []float32
	pooled [5][]float32
	full   [5][]float32
	ce     float64
	stats  map[string][]float32
}

func forward(t *testing.T, backend compute.Backend, s *State, mode Mode, n int) (p forwardPass) {
	t.Helper()
	x, y := testImages(t, n)
	var stats []string
	out := run(t, backend, s, []*tensors.Tensor{x, y}, func(net *Net, in []*Node) []*Node {
		var features []*Node
		net.Tap = func(name string, x *Node) {
			if strings.HasPrefix(name, "layer") && strings.HasSuffix(name, ".1") { // the last block of a stage
				features = append(features, ReduceMean(x, 1, 2), SliceAxis(x, 0, AxisRange(0, 1)))
			}
		}
		logits := net.Forward(mode, in[0])
		out := append([]*Node{logits, ReduceAllMean(attacks.CrossEntropy(logits, in[1]))}, features...)
		for _, x := range s.Tensors {
			if !x.Kind.Trainable() {
				stats = append(stats, x.Name)
				out = append(out, net.Vars[x.Name])
			}
		}
		return out
	})
	p.logits, p.ce = floats(out[0]), float64(floats(out[1])[0])
	for stage := range 4 {
		p.pooled[stage+1], p.full[stage+1] = floats(out[2+2*stage]), floats(out[3+2*stage])
	}
	p.stats = map[string][]float32{}
	for i, name := range stats {
		p.stats[name] = floats(out[10+i])
	}
	return p
}

// TestForwardParity: logits, features of all stages, mean cross entropy, accuracy and running statistics against PyTorch.
func TestForwardParity(t *testing.T) {
	s := load(t, "resnet18", 16, fixture("model_O.safetensors"))
	want := read(t, fixture("forward.safetensors"))
	var summary map[string]any
	readJSON(t, "forward.json", &summary)
	_, labels := testImages(t, 256)
	y := tensors.MustCopyFlatData[int32](labels)
	for i, l := range summary["labels"].([]any) {
		if int32(l.(float64)) != y[i] {
			t.Fatalf("label %d is %d, the reference has %v: other images", i, y[i], l)
		}
	}
	check := func(p forwardPass, mode string, n int) {
		t.Helper()
		compare := func(what string, got, want []float32, tolerance float64) {
			t.Helper()
			t.Logf("%s: largest error %.2g", what, farthest(got, want))
			mltest.Close(t, what, got, want, tolerance, 0)
		}
		compare("logits "+mode, p.logits, tensor(t, want, "logits_"+mode)[:n*10], 2e-5)
		for stage, size := 1, 32; stage <= 4; stage, size = stage+1, size/2 {
			c, pooled := 16<<(stage-1), min(n, 64)
			compare(fmt.Sprintf("pooled stage %d %s", stage, mode), p.pooled[stage][:pooled*c],
				tensor(t, want, fmt.Sprintf("pooled_stage%d_%s_first64", stage, mode))[:pooled*c], 2e-5)
			full := tensor(t, want, fmt.Sprintf("full_stage%d_%s_first1", stage, mode))
			compare(fmt.Sprintf("full stage %d %s", stage, mode), p.full[stage], channelsLast(full, 1, c, size, size), 2e-5)
		}
	}
	t.Run("xla", func(t *testing.T) {
		backend := mltest.XLA(t)
		for _, mode := range []Mode{Eval, Train} {
			name := map[Mode]string{Eval: "eval", Train: "train"}[mode]
			p := forward(t, backend, s, mode, 256)
			check(p, name, 256)
			if ce := summary["ce_mean_"+name].(float64); math.Abs(p.ce-ce) > 2e-5*ce {
				t.Errorf("mean cross entropy %s: got %v, want %v", name, p.ce, ce)
			}
			correct := 0
			for i, label := range y {
				if argmax(p.logits[i*10:(i+1)*10]) == int(label) {
					correct++
				}
			}
			if accuracy := summary["accuracy_"+name].(float64); float64(correct)/256 != accuracy {
				t.Errorf("accuracy %s: got %d of 256, want %v", name, correct, accuracy)
			}
			worst := 0.0
			for name, got := range p.stats {
				want := tensor(t, want, "after_train_forward."+name)
				if mode == Eval {
					want = s.Values[name]
				}
				worst = max(worst, farthest(got, want))
				mltest.Close(t, fmt.Sprintf("%s after mode %s", name, mode), got, want, map[Mode]float64{Eval: 0, Train: 2e-6}[mode], 0)
			}
			t.Logf("running statistics after mode %s: largest error %.2g", mode, worst)
		}
	})
	t.Run("go", func(t *testing.T) {
		check(forward(t, mltest.GoBackend(t), s, Eval, 4), "eval", 4)
	})
}

func argmax(v []float32) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

// gradientNorms is one mode of gradients.json.
type gradientNorms struct {
	Loss   float64              `json:"loss"`
	L1     []float64            `json:"dx_l1"`
	L2     []float64            `json:"dx_l2"`
	Linf   []float64            `json:"dx_linf"`
	Params map[string]paramNorm `json:"params"`
}

type paramNorm struct{ L1, L2, Sum, AbsMax float64 }

// gradients differentiates the mean over 64 images of the cross entropy of the first n.
func gradients(t *testing.T, backend compute.Backend, s *State, mode Mode, n int, params bool) (dx []float32, dparam map[string][]float32) {
	t.Helper()
	x, y := testImages(t, n)
	var names []Tensor
	out := run(t, backend, s, []*tensors.Tensor{x, y}, func(net *Net, in []*Node) []*Node {
		at := []*Node{in[0]}
		for _, x := range s.Tensors {
			if params && x.Kind.Trainable() {
				names = append(names, x)
				at = append(at, net.Vars[x.Name])
			}
		}
		loss := DivScalar(ReduceAllSum(attacks.CrossEntropy(net.Forward(mode, in[0]), in[1])), 64)
		return Gradient(loss, at...)
	})
	dparam = map[string][]float32{}
	for i, x := range names {
		_, dparam[x.Name] = toTorch(x, floats(out[1+i]))
	}
	return floats(out[0]), dparam
}

// TestGradientParity: input and parameter gradients of the mean cross entropy against PyTorch.
func TestGradientParity(t *testing.T) {
	s := load(t, "resnet18", 16, fixture("model_O.safetensors"))
	want := read(t, fixture("gradients.safetensors"))
	norms := map[string]gradientNorms{}
	var raw map[string]json.RawMessage
	readJSON(t, "gradients.json", &raw)
	for _, mode := range []string{"eval", "train"} {
		var g gradientNorms
		if err := json.Unmarshal(raw[mode], &g); err != nil {
			t.Fatal(err)
		}
		norms[mode] = g
	}
	const pixels = 3 * 32 * 32
	image := func(v []float32, i int) []float32 { return v[i*pixels : (i+1)*pixels] }
	checkImages := func(dx []float32, mode string, tolerance float64) {
		t.Helper()
		want := channelsLast(tensor(t, want, "dx_"+mode+"_first4"), 4, 3, 32, 32)
		worst := 0.0
		for i := range 4 {
			d := apart(image(dx, i), image(want, i))
			worst = max(worst, d)
			if !(d <= tolerance) {
				t.Errorf("dx of image %d in %s: relative L2 distance %.2g, accepted %g", i, mode, d, tolerance)
			}
		}
		t.Logf("dx %s: largest relative L2 distance %.2g", mode, worst)
	}
	t.Run("xla", func(t *testing.T) {
		backend := mltest.XLA(t)
		// Folding batch norm into the kernels in mode E puts one ReLU input of image 51 on the other side of zero (without it
		// every distance is below 1.3e-6): one image, and the parameters it reaches, may be as far as such a flip moves them.
		for _, c := range []struct {
			mode                         Mode
			name                         string
			image, flippedImage          float64
			parameter, flippedParameters float64
		}{{Eval, "eval", 1e-4, 1e-2, 1e-4, 5e-3}, {Train, "train", 2e-2, 2e-2, 5e-3, 5e-3}} {
			dx, dparam := gradients(t, backend, s, c.mode, 64, true)
			checkImages(dx, c.name, c.image)
			ref := norms[c.name]
			images := map[string]float64{}
			for i := range 64 {
				got := normsOf(image(dx, i))
				images[fmt.Sprint("image ", i)] = max(math.Abs(got.L1/ref.L1[i]-1), math.Abs(got.L2/ref.L2[i]-1),
					math.Abs(got.AbsMax/ref.Linf[i]-1))
			}
			near(t, "norms of dx in "+c.name, images, c.image, c.flippedImage, 1)

			parameters, compared := map[string]float64{}, 0
			for name, got := range dparam {
				r, n := ref.Params[name], normsOf(got)
				d := max(math.Abs(n.L2-r.L2)/r.L2, math.Abs(n.L1-r.L1)/r.L1, math.Abs(n.Sum-r.Sum)/r.L1)
				if full := "dparam_" + c.name + "." + name; len(got) <= 4096 {
					compared++
					d = max(d, apart(got, tensor(t, want, full)))
				}
				parameters[name] = d
			}
			near(t, "gradients of parameters in "+c.name, parameters, c.parameter, c.flippedParameters, len(parameters)/2)
			if len(dparam) != len(ref.Params) || compared != 49 {
				t.Errorf("compared %d of %d parameters in full, want 49 of %d", compared, len(dparam), len(ref.Params))
			}
		}
	})
	t.Run("go", func(t *testing.T) {
		dx, _ := gradients(t, mltest.GoBackend(t), s, Eval, 4, false)
		checkImages(dx, "eval", 1e-4)
	})
}

// near fails the test if a distance is above flipped, or more than most of them are above tolerance.
func near(t *testing.T, what string, distances map[string]float64, tolerance, flipped float64, most int) {
	t.Helper()
	worst, far := 0.0, 0
	for name, d := range distances {
		if !(d <= flipped) {
			t.Errorf("%s: %s: relative distance %.2g, accepted %g", what, name, d, flipped)
		}
		if d > tolerance {
			far++
		}
		worst = max(worst, d)
	}
	if far > most {
		t.Errorf("%s: %d of %d are farther than %g, accepted are %d", what, far, len(distances), tolerance, most)
	}
	t.Logf("%s: largest relative distance %.2g, %d of %d above %g", what, worst, far, len(distances), tolerance)
}

func normsOf(v []float32) (n paramNorm) {
	for _, x := range v {
		f := float64(x)
		n.L1 += math.Abs(f)
		n.L2 += f * f
		n.Sum += f
		n.AbsMax = max(n.AbsMax, math.Abs(f))
	}
	n.L2 = math.Sqrt(n.L2)
	return n
}
