package nn

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/weights"
)

// TestRoundTrip: Save and LoadFile give back every bit, the form and the normalisation, for every naming.
func TestRoundTrip(t *testing.T) {
	for i, a := range oneOfEach(t) {
		if i%2 == 0 && !a.swish() {
			a.Mean, a.Std = []float64{0.4914, 0.48216, 0.1}, []float64{0.2471, 0.3, 1}
		}
		s := random(t, a, 3)
		s.Tracked = 123456789012
		path := filepath.Join(t.TempDir(), "w.safetensors")
		if err := s.Save(path); err != nil {
			t.Fatal(err)
		}
		ask := a
		ask.Mean, ask.Std = nil, nil
		back, warnings, err := LoadFile(ask, path)
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) > 0 {
			t.Errorf("%s: warnings %q", a, warnings)
		}
		mean, std := a.normalisation()
		if back.Arch.Name != a.Name || back.Arch.NoFinalBN != a.NoFinalBN || back.Tracked != s.Tracked ||
			!slices.Equal(back.Arch.Mean, mean) || !slices.Equal(back.Arch.Std, std) {
			t.Errorf("%s came back as %+v after %d passes", a, back.Arch, back.Tracked)
		}
		for _, x := range s.Tensors {
			if !slices.EqualFunc(back.Values[x.Name], s.Values[x.Name], func(a, b float32) bool {
				return math.Float32bits(a) == math.Float32bits(b)
			}) {
				t.Errorf("%s: %s changed", a, x.Name)
			}
		}
		again := filepath.Join(t.TempDir(), "again.safetensors")
		back.Arch.Mean, back.Arch.Std = a.Mean, a.Std
		if err := back.Save(again); err != nil {
			t.Fatal(err)
		}
		if first, second := contents(t, path), contents(t, again); first != second {
			t.Errorf("%s: saved again, the file differs", a)
		}
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLayouts: a PyTorch file saved again holds the tensors of the original, so layouts are turned back exactly.
func TestLayouts(t *testing.T) {
	for _, file := range []string{"resnet18.safetensors", "preactresnet18_older.pt", "wrn-16-2-swish.safetensors"} {
		path := filepath.Join("testdata", file)
		a, _ := Parse(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(file, ".safetensors"), ".pt"), "_older"), 2, 10)
		s, _, err := LoadFile(a, path)
		if err != nil {
			t.Fatal(err)
		}
		got, want := s.Dict(), weights.Peel(read(t, path))
		if len(got.Names) != len(want.Names) {
			t.Errorf("%s: %d tensors, PyTorch's file has %d", file, len(got.Names), len(want.Names))
		}
		for _, name := range want.Names {
			g, w := got.Tensors[name], want.Tensors[name]
			if g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || string(g.Data) != string(w.Data) {
				t.Errorf("%s: %s is not PyTorch's", file, name)
			}
		}
	}
}

// edit returns the state dict of a network with changed names and tensors.
func edit(s *State, change func(d *weights.Dict)) *weights.Dict {
	d := s.Dict()
	d.Meta = nil
	change(d)
	return d
}

func drop(d *weights.Dict, name string) {
	delete(d.Tensors, name)
	d.Names = slices.DeleteFunc(d.Names, func(n string) bool { return n == name })
}

func rename(d *weights.Dict, prefix string) {
	tensors, names := d.Tensors, d.Names
	d.Tensors, d.Names = nil, nil
	for _, name := range names {
		d.Set(prefix+name, tensors[name])
	}
}

func constants(shape []int, v ...float32) weights.Tensor { return weights.Float32s(shape, v) }

// TestLoadErrors: one line that names the tensors and says what the file holds instead.
func TestLoadErrors(t *testing.T) {
	small := Arch{Name: "resnet18", Width: 2, Classes: 10}
	s := random(t, small, 1)
	wide := random(t, Arch{Name: "wrn-16-2", Width: 2, Classes: 10}, 1)
	swish := random(t, Arch{Name: "wrn-16-2-swish", Width: 2, Classes: 10}, 1)
	older := random(t, Arch{Name: "preactresnet18", Width: 2, Classes: 10, NoFinalBN: true}, 1)
	ask := func(name string, width, classes int) Arch { return Arch{Name: name, Width: width, Classes: classes} }
	for _, c := range []struct {
		what string
		ask  Arch
		d    *weights.Dict
		want []string
	}{
		{"missing", small, edit(s, func(d *weights.Dict) { drop(d, "bn1.weight"); drop(d, "layer3.0.shortcut.1.running_var") }),
			[]string{"does not hold resnet18 of width 2 with 10 classes", "2 missing (bn1.weight, layer3.0.shortcut.1.running_var)"}},
		{"extra", small, edit(s, func(d *weights.Dict) { d.Set("fc.weight", constants([]int{1}, 1)) }),
			[]string{"does not hold", "1 not part of the network (fc.weight)"}},
		{"counter of no norm", small, edit(s, func(d *weights.Dict) { d.Set("bn7.num_batches_tracked", weights.Int64s(nil, []int64{1})) }),
			[]string{"1 not part of the network (bn7.num_batches_tracked)"}},
		{"misshapen", small, edit(s, func(d *weights.Dict) { d.Set("conv1.weight", constants([]int{2, 3, 1, 1}, 1, 2, 3, 4, 5, 6)) }),
			[]string{"does not hold", "1 of another shape (conv1.weight [2 3 1 1] instead of [2 3 3 3])"}},
		{"all three", small, edit(s, func(d *weights.Dict) {
			drop(d, "linear.bias")
			d.Set("x", constants([]int{1}, 1))
			d.Set("bn1.bias", constants([]int{1}, 1))
		}), []string{"1 missing (linear.bias)", "1 of another shape (bn1.bias [1] instead of [2])", "1 not part of the network (x)"}},
		{"width", ask("resnet18", 64, 10), s.Dict(),
			[]string{"holds resnet18 of width 2 with 10 classes, not resnet18 of width 64 with 10 classes", "conv1.weight [2 3 3 3] instead of [64 3 3 3]", "and 89 more"}},
		{"classes", ask("resnet18", 2, 100), s.Dict(),
			[]string{"holds resnet18 of width 2 with 10 classes, not resnet18 of width 2 with 100 classes", "linear.weight [10 16] instead of [100 16]", "linear.bias [10] instead of [100]"}},
		{"depth", ask("resnet34", 2, 10), s.Dict(), []string{"holds resnet18 of width 2 with 10 classes, not resnet34 of width 2", "layer1.2.conv1.weight"}},
		{"another network", ask("wrn-16-2", 2, 10), s.Dict(), []string{"holds resnet18 of width 2 with 10 classes, not wrn-16-2 of width 2", "block1.layer.0.bn1.weight"}},
		{"wide for resnet", small, wide.Dict(), []string{"holds wrn-16-2 of width 2 with 10 classes, not resnet18"}},
		{"wide depth", ask("wrn-28-10", 16, 10), wide.Dict(), []string{"holds wrn-16-2 of width 2 with 10 classes, not wrn-28-10 of width 16"}},
		{"swish depth", ask("wrn-28-10", 16, 10), swish.Dict(), []string{"holds wrn-16-2-swish of width 2 with 10 classes, not wrn-28-10-swish of width 16"}},
		{"preact for resnet", small, older.Dict(), []string{"holds preactresnet18 of width 2 with 10 classes, not resnet18"}},
		{"nothing known", small, &weights.Dict{Names: []string{"a"}, Tensors: map[string]weights.Tensor{"a": constants([]int{1}, 1)}},
			[]string{"does not hold resnet18", "102 missing (conv1.weight, bn1.weight", "and 90 more", "1 not part of the network (a)"}},
		{"empty", small, &weights.Dict{}, []string{"102 missing"}},
		{"integers", small, edit(s, func(d *weights.Dict) { d.Set("bn1.bias", weights.Int64s([]int{2}, []int64{1, 2})) }), []string{"tensor bn1.bias", "I64"}},
		{"other normalisation", Arch{Name: "wrn-16-2-swish", Width: 2, Classes: 10, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}, swish.Dict(),
			[]string{"normalises with mean [0.4914 0.4822 0.4465]", "asked for were [0 0 0]"}},
		{"std of zero", small, edit(s, func(d *weights.Dict) {
			d.Set("mu", constants([]int{3}, 0, 0, 0))
			d.Set("sigma", constants([]int{3}, 1, 0, 1))
		}), []string{"std [1 0 1]"}},
		{"damaged note", small, edit(s, func(d *weights.Dict) { d.Meta = map[string]string{archMeta: "{"} }), []string{"metadata cure.arch"}},
		{"unknown arch", ask("lenet", 2, 10), s.Dict(), []string{`unknown arch "lenet"`}},
	} {
		_, err := Load(c.ask, c.d)
		if err == nil {
			t.Errorf("%s: loaded", c.what)
			continue
		}
		for _, want := range append(c.want, "nn: ") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to say %q", c.what, err, want)
			}
		}
		if n := len(err.Error()); n > 2000 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error has %d bytes, want one line below 2000: %s", c.what, n, err)
		}
	}
}

// TestWrappings: containers, prefixes and layers around a network come off.
func TestWrappings(t *testing.T) {
	s := random(t, Arch{Name: "resnet18", Width: 2, Classes: 10}, 1)
	mean, std := constants([]int{1, 3, 1, 1}, 0.5, 0.25, 0.75), constants([]int{1, 3, 1, 1}, 0.25, 0.5, 1)
	for _, c := range []struct {
		what       string
		change     func(d *weights.Dict)
		normalised bool
	}{
		{"plain", func(d *weights.Dict) {}, false},
		{"DataParallel", func(d *weights.Dict) { rename(d, "module.") }, false},
		{"DataParallel of a Sequential", func(d *weights.Dict) { rename(d, "module.0.") }, false},
		{"Sequential of normalisation and network", func(d *weights.Dict) { rename(d, "1."); d.Set("0.mean", mean); d.Set("0.std", std) }, true},
		{"the same in DataParallel", func(d *weights.Dict) {
			rename(d, "1.")
			d.Set("0.mean", mean)
			d.Set("0.std", std)
			rename(d, "module.")
		}, true},
		{"named layers", func(d *weights.Dict) { rename(d, "model."); d.Set("normalize.mean", mean); d.Set("normalize.std", std) }, true},
		{"buffers", func(d *weights.Dict) { d.Set("mu", mean); d.Set("sigma", std) }, true},
		{"buffers around a model", func(d *weights.Dict) { rename(d, "model."); d.Set("mean", mean); d.Set("std", std) }, true},
		{"state_dict", func(d *weights.Dict) { rename(d, "state_dict.model.module.") }, false},
		{"unused copy of TRADES", func(d *weights.Dict) { d.Set("sub_block1.layer.0.bn1.weight", constants([]int{1}, 1)) }, false},
		{"without counters", func(d *weights.Dict) {
			for _, name := range slices.Clone(d.Names) {
				if strings.HasSuffix(name, ".num_batches_tracked") {
					drop(d, name)
				}
			}
		}, false},
	} {
		back, err := Load(s.Arch, edit(s, c.change))
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		for _, x := range s.Tensors {
			mltest.Close(t, c.what+": "+x.Name, back.Values[x.Name], s.Values[x.Name], 0, 0)
		}
		if want := map[bool][]float64{true: {0.5, 0.25, 0.75}}[c.normalised]; !slices.Equal(back.Arch.Mean, want) {
			t.Errorf("%s: mean %v, want %v", c.what, back.Arch.Mean, want)
		}
	}
}

// TestWarnings: values that make no sense load, with a warning that names tensors and file.
func TestWarnings(t *testing.T) {
	s := random(t, Arch{Name: "resnet18", Width: 2, Classes: 10}, 1)
	s.Values["conv1.weight"][5] = float32(math.NaN())
	s.Values["linear.bias"][0] = float32(math.Inf(-1))
	s.Values["bn1.running_var"][1] = -1
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	_, warnings, err := LoadFile(s.Arch, path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("tensors of %s hold NaN or Inf: conv1.weight, linear.bias", path), fmt.Sprintf("variances of %s are below 0: bn1.running_var", path)}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
}

// TestLoadFileErrors: errors name the file.
func TestLoadFileErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.pt")
	if err := os.WriteFile(text, []byte("no weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent.pt"), text, "testdata/wrn-16-2.safetensors"} {
		s, _, err := LoadFile(Arch{Name: "resnet18", Width: 2, Classes: 10}, path)
		if err == nil || s != nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with the file", path, err)
		}
	}
}
