package cureml

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data/mini"
)

// Reference values of PyTorch; testdata/torch/README.md says how they were made and where the tolerances come from.
const torchFolder = "testdata/torch"

// complete is the complete set of reference values, too large for the repository.
const complete = "../../shared/fixtures/open"

var resnet16 = nn.Arch{Name: "resnet18", Width: 16, Classes: 10}

func networkO(t testing.TB) *nn.State {
	t.Helper()
	s, _, err := nn.LoadFile(resnet16, filepath.Join(torchFolder, "model_O.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readFixture(t testing.TB, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// records are the first n test images with labels, and PyTorch's PGD-10 images of the first 64 of them.
func records(t testing.TB, n int) (x, adv, y *tensors.Tensor) {
	t.Helper()
	set := mini.Test()
	pixels := make([]float32, n*3072)
	for i := range pixels {
		pixels[i] = float32(set.Images[i]) / 255
	}
	x = tensors.FromFlatDataAndDimensions(pixels, n, 32, 32, 3)
	y = tensors.FromFlatDataAndDimensions(append([]int32(nil), set.Labels[:n]...), n)
	file, err := os.Open(filepath.Join(torchFolder, "x_adv_pgd.f32.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	chw := make([]float32, len(raw)/4)
	for i := range chw {
		chw[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return x, tensors.FromFlatDataAndDimensions(toHWC(chw), 64, 32, 32, 3), y
}

// toHWC turns images [N, 3, 32, 32] into [N, 32, 32, 3].
func toHWC(chw []float32) []float32 {
	hwc := make([]float32, len(chw))
	for i, v := range chw {
		image, rest := i/3072, i%3072
		hwc[image*3072+rest%1024*3+rest/1024] = v
	}
	return hwc
}

// onXLA runs fn with the tensors of networks and further inputs, in float32.
func onXLA(t testing.TB, states []*nn.State, inputs []*tensors.Tensor, fn func(nets []*nn.Net, in []*Node) []*Node) [][]float32 {
	t.Helper()
	var args []any
	for _, s := range states {
		for _, tensor := range s.Tensors {
			args = append(args, tensors.FromFlatDataAndDimensions(s.Values[tensor.Name], tensor.Shape...))
		}
	}
	for _, in := range inputs {
		args = append(args, in)
	}
	exec := MustNewExec(mltest.XLA(t), func(in []*Node) []*Node {
		var nets []*nn.Net
		for _, s := range states {
			net := &nn.Net{Arch: s.Arch, Vars: map[string]*Node{}}
			for i, tensor := range s.Tensors {
				net.Vars[tensor.Name] = in[i]
			}
			nets, in = append(nets, net), in[len(s.Tensors):]
		}
		return fn(nets, in)
	})
	defer exec.Finalize()
	outputs, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]float32, len(outputs))
	for i, o := range outputs {
		if values[i], err = tensors.CopyFlatData[float32](o); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// TestLossParity compares losses of network O on records 0 to 63 and their PGD-10 images, in modes E and T.
func TestLossParity(t *testing.T) {
	var file struct {
		PGD struct {
			Values map[string]float64 `json:"values"`
		} `json:"with_x_adv_pgd"`
	}
	readFixture(t, filepath.Join(torchFolder, "losses.json"), &file)
	x, adv, y := records(t, 64)
	for _, mode := range []nn.Mode{nn.Eval, nn.Train} {
		suffix := map[nn.Mode]string{nn.Eval: "_eval", nn.Train: "_train"}[mode]
		var names []string
		var got []float32
		for _, v := range onXLA(t, []*nn.State{networkO(t)}, []*tensors.Tensor{x, adv, y}, func(nets []*nn.Net, in []*Node) []*Node {
			nat, adv, y := nets[0].Forward(mode, in[0]), nets[0].Forward(mode, in[1]), in[2]
			ce, kl := mean(attacks.CrossEntropy(nat, y)), mean(attacks.KL(nat, adv))
			names = []string{"ce_nat", "ce_adv", "kl_nat_adv_batchmean", "kl_adv_nat_batchmean", "trades_beta6",
				"cw_kappa50_sum", "cw_kappa0_mean", "dlr_mean"}
			return []*Node{ce, mean(attacks.CrossEntropy(adv, y)), kl, mean(attacks.KL(adv, nat)), Add(ce, MulScalar(kl, 6)),
				ReduceAllSum(attacks.CW(adv, y, 50)), mean(Neg(attacks.Margin(adv, y))), mean(attacks.DLR(adv, y))}
		}) {
			got = append(got, v[0])
		}
		for i, name := range names {
			want, ok := file.PGD.Values[name+suffix]
			if name == "cw_kappa0_mean" { // the reference clamps each image at 0, which Margin does not
				continue
			}
			if !ok {
				t.Fatalf("no reference value %s", name+suffix)
			}
			mltest.Close(t, name+suffix, got[i:i+1], []float64{want}, 1e-5, 2e-5)
		}
	}
}

// TestPGDParity compares the mean losses at every one of 20 L2 steps from the clean images, the images that stay correct,
// and the accuracies under whole evaluations of 256 records.
func TestPGDParity(t *testing.T) {
	var file struct {
		L2 struct {
			Loss    []float64 `json:"loss_float64"`
			Correct []int     `json:"final_correct_float64"`
		} `json:"l2_zero_start"`
		Statistical map[string]json.RawMessage `json:"statistical"`
	}
	readFixture(t, filepath.Join(torchFolder, "pgd.json"), &file)
	s := networkO(t)
	model := HostModel(mltest.XLA(t), s)
	x, _, y := records(t, 64)
	pgd := attacks.PGD{Ball: attacks.Ball{Norm: attacks.L2, Eps: 0.5}, StepSize: 0.1, Loss: "ce"}
	step := MustNewExec(model.Backend, func(in []*Node) []*Node {
		w, x, adv, y := in[:len(model.Weights)], in[len(in)-3], in[len(in)-2], in[len(in)-1]
		logits := model.Logits(w, adv)
		next := pgd.Step(x, adv, func(adv *Node) *Node { return pgd.Objective(model.Logits(w, adv), y, nil) })
		return []*Node{next, mean(attacks.CrossEntropy(logits, y)), ConvertDType(attacks.Correct(logits, y), logits.DType())}
	})
	defer step.Finalize()
	weights := make([]any, len(model.Weights))
	for i, w := range model.Weights {
		weights[i] = w
	}
	adv := x
	var losses, correct []float32
	for range file.L2.Loss {
		out := step.MustCall(append(slices.Clone(weights), x, adv, y)...)
		adv = out[0]
		losses = append(losses, out[1].Value().(float32))
		correct = out[2].Value().([]float32)
	}
	mltest.Close(t, "mean loss per L2 step", losses, file.L2.Loss, 1e-3, 0)
	for i, want := range file.L2.Correct {
		if int(correct[i]) != want {
			t.Errorf("record %d after 20 L2 steps: correct %v, want %d", i, correct[i], want)
		}
	}

	set, err := mini.Test().Slice(0, 256)
	if err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("fgsm,pgd20,cw20")
	if err != nil {
		t.Fatal(err)
	}
	report, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, list, attacks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const clean, fgsm = 0.6796875, 0.41796875
	if report.Clean.Accuracy != clean {
		t.Errorf("clean accuracy of 256 records: got %v, want %v", report.Clean.Accuracy, clean)
	}
	if got := report.Attacks[0].RobustAccuracy; math.Abs(got-fgsm) > 1.0/256 {
		t.Errorf("FGSM 8/255: got %v, want %v to one image", got, fgsm)
	}
	for i, name := range []string{"pgd20_linf_eps0.031_step0.003_cure_eval", "cw_pgd20_linf_eps0.031_step0.003"} {
		var want struct{ Accuracies []float64 }
		if err := json.Unmarshal(file.Statistical[name], &want); err != nil {
			t.Fatal(err)
		}
		got := report.Attacks[i+1].RobustAccuracy
		if low, high := slices.Min(want.Accuracies), slices.Max(want.Accuracies); got < low-3.0/256 || got > high+3.0/256 {
			t.Errorf("%s: got %v, want within 3 images of %v (another stream of random starts)", list[i+1].Name, got, want.Accuracies)
		}
	}
}
