package nn

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/weights"
)

// The files of testdata, one for each naming: how they are asked for, and what they turn out to be.
var forms = []struct {
	file, ask, name string
	noFinalBN       bool
	mean            []float64
}{
	{file: "resnet18.safetensors", ask: "resnet18"},
	{file: "resnet50.safetensors", ask: "resnet50"},
	{file: "preactresnet18.safetensors", ask: "preactresnet18", mean: cifar10Mean},
	{file: "preactresnet18_older.pt", ask: "preactresnet18", noFinalBN: true},
	{file: "preactresnet18_raw.safetensors", ask: "preactresnet18-raw", mean: []float64{0.5, 0.4, 0.3}},
	{file: "wrn-16-2.safetensors", ask: "wrn-16-2"},
	{file: "wrn-16-2-swish.safetensors", ask: "wrn-16-2-swish", mean: []float64{0.5, 0.4, 0.3}},
	{file: "wrn-16-2-swish.safetensors", ask: "wrn-16-2", name: "wrn-16-2-swish", mean: []float64{0.5, 0.4, 0.3}},
	{file: "preactresnet18-swish.safetensors", ask: "preactresnet18-swish", mean: cifar10Mean},
	{file: "preactresnet18-swish.safetensors", ask: "preactresnet18", name: "preactresnet18-swish", mean: cifar10Mean},
}

// TestForms: files of PyTorch's making give PyTorch's logits in both modes, and its statistics after a training pass.
func TestForms(t *testing.T) {
	expected := read(t, "testdata/expected.safetensors")
	bytes, err := expected.Tensors["images"].Int64()
	if err != nil {
		t.Fatal(err)
	}
	planes := make([]uint8, len(bytes))
	for i, b := range bytes {
		planes[i] = uint8(b)
	}
	x := unit(channelsLast(planes, 8, 3, 32, 32), 8)
	for _, c := range forms {
		t.Run(c.ask+" from "+c.file, func(t *testing.T) {
			a, err := Parse(c.ask, 2, 10)
			if err != nil {
				t.Fatal(err)
			}
			s, warnings, err := LoadFile(a, filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "" {
				c.name = c.ask
			}
			if s.Arch.Name != c.name || s.Arch.NoFinalBN != c.noFinalBN || !slices.Equal(s.Arch.Mean, c.mean) || s.Tracked != 7 {
				t.Errorf("loaded as %+v after %d passes, want %s, no final norm %v, mean %v, 7 passes", s.Arch, s.Tracked, c.name, c.noFinalBN, c.mean)
			}
			if c.noFinalBN != (len(warnings) == 1 && strings.Contains(warnings[0], "preactresnet18-raw")) {
				t.Errorf("warnings %q", warnings)
			}
			if c.ask != c.name {
				return // the same network as above
			}
			last := map[Kind]string{} // statistics of the last batch norm
			for _, x := range s.Tensors {
				last[x.Kind] = x.Name
			}
			backend := mltest.GoBackend(t)
			if s.Arch.swish() || os.Getenv("CURE_PROOF") != "" { // XLA takes seconds to compile each; the others' parts are in TestForwardParity
				backend = mltest.Backend(t)
			}
			out := run(t, backend, s, []*tensors.Tensor{x}, func(net *Net, in []*Node) []*Node {
				out := []*Node{net.Forward(Eval, in[0]), net.Forward(Train, in[0])}
				return append(out, net.Vars[last[RunningMean]], net.Vars[last[RunningVar]])
			})
			stem, _, _ := strings.Cut(c.file, ".")
			for i, what := range []string{"logits_eval", "logits_train", "after_train.running_mean", "after_train.running_var"} {
				want := tensor(t, expected, stem+"."+what)
				t.Logf("%s: largest error %.2g", what, farthest(floats(out[i]), want))
				tolerance := []float64{2e-5, 2e-5, 2e-6, 2e-6}[i]
				mltest.Close(t, what, floats(out[i]), want, tolerance, 0)
			}
		})
	}
}

// TestStructure: names, order and shapes of the state dict are PyTorch's for the published sizes, and so is the number of
// parameters.
func TestStructure(t *testing.T) {
	b, err := os.ReadFile("testdata/structure.json")
	if err != nil {
		t.Fatal(err)
	}
	var structure map[string]struct {
		Parameters int
		Tensors    [][2]any
	}
	if err := json.Unmarshal(b, &structure); err != nil {
		t.Fatal(err)
	}
	published := map[string]int{ // also stated by the papers and repositories
		"resnet18": 11173962, "preactresnet18": 11172170, "preactresnet18-raw": 11171146, "wrn-28-10": 36479194, "wrn-34-10": 46160474,
	}
	if len(structure) != 9 {
		t.Errorf("%d networks, want 9", len(structure))
	}
	for name, want := range structure {
		a, err := Parse(name, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		all, err := a.Tensors()
		if err != nil {
			t.Fatal(err)
		}
		parameters := 0
		for _, x := range all {
			if x.Kind.Trainable() {
				parameters += x.Size()
			}
		}
		if n, ok := published[name]; parameters != want.Parameters || ok && parameters != n {
			t.Errorf("%s has %d parameters, PyTorch's %d, published %d", name, parameters, want.Parameters, n)
		}
		if want.Tensors == nil {
			continue
		}
		s := &State{Arch: a, Tensors: all, Values: map[string][]float32{}}
		if parameters < 13e6 {
			for _, x := range all {
				s.Values[x.Name] = make([]float32, x.Size())
			}
			sameStructure(t, name, s.Dict(), want.Tensors)
		} else {
			sameStructure(t, name, shapesOnly(all), want.Tensors)
		}
	}
}

// shapesOnly is a state dict without values or counters, for networks that would take long to write.
func shapesOnly(all []Tensor) *weights.Dict {
	d := &weights.Dict{}
	for _, x := range all {
		shape, _ := toTorch(x, nil)
		d.Set(x.Name, weights.Tensor{Shape: shape})
	}
	return d
}

func sameStructure(t *testing.T, network string, d *weights.Dict, want [][2]any) {
	t.Helper()
	var names []string
	for _, w := range want {
		name := w[0].(string)
		x, ok := d.Get(name)
		if strings.HasSuffix(name, ".num_batches_tracked") && !ok {
			continue
		}
		names = append(names, name)
		var shape []int
		for _, n := range w[1].([]any) {
			shape = append(shape, int(n.(float64)))
		}
		if !slices.Equal(x.Shape, shape) {
			t.Errorf("%s: %s is %v, PyTorch has %v", network, name, x.Shape, shape)
		}
	}
	if !slices.Equal(names, d.Names) {
		t.Errorf("%s: names or their order differ from PyTorch's:\n%v\n%v", network, d.Names, names)
	}
}
