package cureml

import (
	"path/filepath"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// TestDistillationParity compares the losses of ARD, IAD-I and ACT of network O, in modes E and T, with PyTorch's. The
// second network, in mode E, is the teacher and ACT's natural network; teacher.json holds its logits.
func TestDistillationParity(t *testing.T) {
	var file struct {
		PGD struct {
			Values map[string]float64 `json:"values"`
			Alpha  []float64          `json:"per_image_eval_iad_alpha"`
		} `json:"with_x_adv_pgd"`
	}
	readFixture(t, filepath.Join(torchFolder, "losses.json"), &file)
	nat, adv := teacherLogits(t)
	x, xAdv, y := records(t, 64)
	inputs := []*tensors.Tensor{x, xAdv, y, nat, adv}

	losses := map[string]func(student, teacher views, y *Node) *Node{
		"act_robust_alpha0.9_temp1": func(student, teacher views, y *Node) *Node {
			return ActConfig{AlphaRobust: 0.9, AlphaNatural: 0.9, Temperature: 1}.terms(teacher.nat, student.adv, y)[0].Value
		},
		"act_natural_alpha0.9_temp1": func(student, teacher views, y *Node) *Node {
			return ActConfig{AlphaRobust: 0.9, AlphaNatural: 0.9, Temperature: 1}.terms(teacher.nat, student.adv, y)[1].Value
		},
	}
	for name, c := range map[string]ArdConfig{
		"ard_alpha1_temp1_batchmean":             {Alpha: 1, Temperature: 1},
		"ard_alpha1_temp5_batchmean":             {Alpha: 1, Temperature: 5},
		"ard_alpha1_temp30_batchmean":            {Alpha: 1, Temperature: 30},
		"ard_alpha1_temp1_official_elementmean":  {Alpha: 1, Temperature: 1, ElementMean: true},
		"ard_alpha1_temp5_official_elementmean":  {Alpha: 1, Temperature: 5, ElementMean: true},
		"ard_alpha1_temp30_official_elementmean": {Alpha: 1, Temperature: 30, ElementMean: true},
		"ard_alpha0.9_temp5_batchmean":           {Alpha: 0.9, Temperature: 5},
	} {
		losses[name] = func(student, teacher views, y *Node) *Node { return c.terms(teacher, student, y)[0].Value }
	}
	for name, released := range map[string]bool{"iad1_paper_temp1_beta0.1": false, "iad1_official_temp1_beta0.1": true} {
		c := Defaults("iad-1")
		c.Iad.ReleasedWeights = released
		losses[name] = func(student, teacher views, y *Node) *Node {
			return iad1Terms(c, teacher, student, y, ScalarOne(student.nat.Graph(), student.nat.DType()))[0].Value
		}
	}

	for _, mode := range []nn.Mode{nn.Eval, nn.Train} {
		suffix := map[nn.Mode]string{nn.Eval: "_eval", nn.Train: "_train"}[mode]
		var names []string
		got := onXLA(t, []*nn.State{networkO(t)}, inputs, func(nets []*nn.Net, in []*Node) (out []*Node) {
			student := views{nat: nets[0].Forward(mode, in[0]), adv: nets[0].Forward(mode, in[1])}
			names = names[:0]
			for name, loss := range losses {
				names = append(names, name+suffix)
				out = append(out, loss(student, views{in[3], in[4]}, in[2]))
			}
			return out
		})
		for i, name := range names {
			want, ok := file.PGD.Values[name]
			if !ok {
				t.Fatalf("no reference value %s", name)
			}
			mltest.Close(t, name, got[i], []float64{want}, 1e-5, 2e-5)
		}
	}
	trust := onXLA(t, nil, inputs, func(_ []*nn.Net, in []*Node) []*Node {
		return []*Node{Defaults("iad-1").Iad.trust(in[4], in[2], ScalarOne(in[4].Graph(), in[4].DType()))}
	})
	mltest.Close(t, "trust per image", trust[0], file.PGD.Alpha, 1e-5, 2e-5)
}

// teacherLogits are PyTorch's logits of the second network, in mode E, on records 0 to 63 and their PGD-10 images.
func teacherLogits(t *testing.T) (nat, adv *tensors.Tensor) {
	t.Helper()
	var file struct{ Nat, Adv [][]float32 }
	readFixture(t, filepath.Join(torchFolder, "teacher.json"), &file)
	return tensors.FromFlatDataAndDimensions(slices.Concat(file.Nat...), 64, 10), tensors.FromFlatDataAndDimensions(slices.Concat(file.Adv...), 64, 10)
}

// TestTeacherParity runs whole updates of ARD and IAD-I on network O with the second network as the teacher, whose mode E
// PyTorch's values tell from the others, and compares the logits that teacher.json holds.
func TestTeacherParity(t *testing.T) {
	second, _, err := nn.LoadFile(resnet16, filepath.Join(complete, "second_O.safetensors"))
	if err != nil {
		t.Skipf("the complete reference values are not here: %v", err)
	}
	var file struct {
		PGD struct {
			Values map[string]float64 `json:"values"`
		} `json:"with_x_adv_pgd"`
	}
	readFixture(t, filepath.Join(torchFolder, "losses.json"), &file)
	x, adv, y := records(t, 64)
	introspecting := func(released bool) Config {
		c := Defaults("iad-1")
		c.Iad.Begin, c.Iad.ReleasedWeights = 0, released
		return c
	}
	cases := []struct {
		name   string
		config Config
	}{
		{"ard_alpha1_temp30_batchmean_train", Defaults("ard")},
		{"iad1_paper_temp1_beta0.1_train", introspecting(false)},
		{"iad1_official_temp1_beta0.1_train", introspecting(true)},
		{"ard_alpha1_temp1_batchmean_train", Defaults("iad-1")}, // before introspection begins
	}
	got := onXLA(t, []*nn.State{networkO(t), second}, []*tensors.Tensor{x, adv, y}, func(nets []*nn.Net, in []*Node) (out []*Node) {
		for _, c := range cases {
			method, err := NewMethod(c.config)
			if err != nil {
				panic(err)
			}
			out = append(out, method.Update(testUpdate(method, fork(nets[0]), nets[1], in)).Log[0].Value)
		}
		return append(out, nets[1].Forward(nn.Eval, in[0]), nets[1].Forward(nn.Eval, in[1]))
	})
	for i, c := range cases {
		mltest.Close(t, c.name, got[i], []float64{file.PGD.Values[c.name]}, 1e-5, 2e-5)
	}
	wantNat, wantAdv := teacherLogits(t)
	for i, want := range []*tensors.Tensor{wantNat, wantAdv} {
		v, err := tensors.CopyFlatData[float32](want)
		if err != nil {
			t.Fatal(err)
		}
		mltest.Close(t, "logits of the teacher", got[len(cases)+i], v, 2e-5, 0)
	}
}
