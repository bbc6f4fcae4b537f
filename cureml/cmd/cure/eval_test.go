package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
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
)

// TestEvalReport checks the report against what is known of it: keys, numbers and how they hang together.
func TestEvalReport(t *testing.T) {
	dir := workplace(t)
	args := strings.Fields("eval --arch resnet18 --width 2 --weights w.safetensors --data images.bin --split test --records 2:12 " +
		"--attack natural,fgsm,pgd20,cw20 --norm linf --eps 8/255 --steps 2 --step-size 0.003 --seed 7 --batch 4 --json out.json")
	o := cure(t, dir, args...)
	for _, want := range []string{"w.safetensors (resnet18-w2) on CIFAR-10, test records 2:12, 10 images, seed 7", "clean", "fgsm", "pgd20", "cw20", "robust accuracy"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("standard output lacks %q:\n%s", want, o.stdout)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"arch", "weights", "data", "records", "n", "norm", "eps", "seed", "clean", "attacks", "robust_accuracy", "robust_flags", "warnings"} {
		if !strings.Contains(string(text), `"`+key+`":`) {
			t.Errorf("no key %s in %s", key, text)
		}
	}
	if !strings.Contains(string(text), `"warnings":[]`) {
		t.Errorf("no empty list of warnings in %s", text)
	}
	r := report(t, filepath.Join(dir, "out.json"))
	if r.Arch != "resnet18" || r.Weights != "w.safetensors" || r.Data != "images.bin" || r.Records != [2]int{2, 12} || r.N != 10 ||
		r.Norm != "linf" || math.Abs(r.Eps-8./255) > 1e-12 || r.Seed != 7 || len(r.Clean.Flags) != 10 || len(r.RobustFlags) != 10 {
		t.Errorf("report %s", text)
	}
	var names []string
	for _, a := range r.Attacks {
		names = append(names, a.Name)
		steps := map[string]int64{"fgsm": 1, "pgd20": 2, "cw20": 2}[a.Name]
		attacked := int64(math.Round(r.Clean.Accuracy * 10))
		if a.Backwards != steps*attacked || a.Forwards != (steps+1)*attacked || len(a.RobustFlags) != 10 {
			t.Errorf("%s: %d forwards, %d backwards for %d attacked images", a.Name, a.Forwards, a.Backwards, attacked)
		}
	}
	if !slices.Equal(names, []string{"fgsm", "pgd20", "cw20"}) {
		t.Errorf("attacks %v: natural is no entry, the others are", names)
	}
}

// TestEvalParts: the verdicts of some records are those they have among all of them. The attack is a random start
// alone, on one image in 32 copies that lies on the border between two classes, so that each verdict depends on
// the random numbers of its record and on nothing else.
func TestEvalParts(t *testing.T) {
	dir := t.TempDir()
	s, image, label := border(t)
	save(t, s, filepath.Join(dir, "w.safetensors"))
	record := append([]byte{label}, image...)
	if err := os.WriteFile(filepath.Join(dir, "copies.bin"), slices.Repeat(record, 32), 0o644); err != nil {
		t.Fatal(err)
	}
	flags := func(records string, more ...string) attacks.Flags {
		args := strings.Fields("eval --width 2 --weights w.safetensors --data copies.bin --attack pgd10 --steps 1 --step-size 0 --eps 0.1 --json out.json --records " + records)
		cure(t, dir, append(args, more...)...)
		return report(t, filepath.Join(dir, "out.json")).RobustFlags
	}
	whole := flags("0:32")
	if a := whole.Accuracy(); a < 0.1 || a > 0.9 {
		t.Fatalf("robust accuracy %v: the verdicts do not tell records apart", a)
	}
	for _, c := range [][2]int{{0, 16}, {9, 25}} {
		if got := flags(fmt.Sprintf("%d:%d", c[0], c[1])); !slices.Equal(got, whole[c[0]:c[1]]) {
			t.Errorf("records %v: verdicts %v, among all records %v", c, got, whole[c[0]:c[1]])
		}
	}
	if got := flags("9:25", "--batch", "3"); !slices.Equal(got, whole[9:25]) {
		t.Errorf("in batches of 3: verdicts %v, among all records %v", got, whole[9:25])
	}
	if slices.Equal(whole[:16], whole[9:25]) || slices.Equal(flags("0:32", "--seed", "1"), whole) {
		t.Error("other records or another seed give the same verdicts")
	}
}

// border is a network and an image [32, 32, 3] in the file's order of planes, with two classes level in front.
func border(t *testing.T) (s *nn.State, planes []byte, label byte) {
	t.Helper()
	s = network(t, 10)
	rng := data.Stream(3, "border")
	pixels := make([]float32, 32*32*3)
	planes = make([]byte, len(pixels))
	for i := range planes {
		planes[i] = byte(rng.Uint32())
		plane, place := i/1024, i%1024
		pixels[place*3+plane] = float32(planes[i]) / 255
	}
	model := cureml.HostModel(mltest.GoBackend(t), s)
	exec, err := NewExec(model.Backend, func(inputs []*Node) *Node { return model.Logits(inputs[1:], inputs[0]) })
	if err != nil {
		t.Fatal(err)
	}
	inputs := []any{tensors.FromFlatDataAndDimensions(pixels, 1, 32, 32, 3)}
	for _, w := range model.Weights {
		inputs = append(inputs, w)
	}
	out, err := exec.Call(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		t.Fatal(err)
	}
	order := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, float64(logits[b]-logits[a]))) })
	s.Values["linear.bias"][order[1]] += logits[order[0]] - logits[order[1]] - 1e-5
	return s, planes, byte(order[0])
}

// TestEvalNonFinite: weights with NaN are evaluated, with a warning in the report and on standard error.
func TestEvalNonFinite(t *testing.T) {
	dir := workplace(t)
	s := network(t, 10)
	s.Values["linear.weight"][3] = float32(math.NaN())
	save(t, s, filepath.Join(dir, "nan.safetensors"))
	o := cure(t, dir, strings.Fields("eval --width 2 --weights nan.safetensors --data images.bin --records 0:4 --attack fgsm --json out.json")...)
	r := report(t, filepath.Join(dir, "out.json"))
	if len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0], "linear.weight") {
		t.Errorf("warnings %q", r.Warnings)
	}
	for _, w := range r.Warnings {
		if !strings.Contains(o.stderr, "warning: "+w+"\n") {
			t.Errorf("standard error lacks the warning %q:\n%s", w, o.stderr)
		}
	}
}

// TestEvalClasses: the number of classes is that of the data.
func TestEvalClasses(t *testing.T) {
	dir := t.TempDir()
	record := make([]byte, 3074) // CIFAR-100: coarse label, fine label, pixels
	record[1] = 99
	if err := os.WriteFile(filepath.Join(dir, "hundred.bin"), slices.Repeat(record, 3), 0o644); err != nil {
		t.Fatal(err)
	}
	save(t, network(t, 100), filepath.Join(dir, "w.safetensors"))
	save(t, network(t, 10), filepath.Join(dir, "ten.safetensors"))
	cure(t, dir, strings.Fields("eval --width 2 --weights w.safetensors --data hundred.bin --attack natural")...)
	wantFailure(t, finish(t, command(dir, strings.Fields("eval --width 2 --weights ten.safetensors --data hundred.bin --attack natural")...)), 1,
		"the file holds resnet18 of width 2 with 10 classes, not resnet18 of width 2 with 100 classes")
}

func report(t *testing.T, path string) (r attacks.Report) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}
