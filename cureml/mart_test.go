package cureml

import (
	"cmp"
	"math"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// softmax64 is the distribution of a row of logits.
func softmax64(logits []float64) []float64 {
	highest := slices.Max(logits)
	p, sum := make([]float64, len(logits)), 0.0
	for k, z := range logits {
		p[k] = math.Exp(z - highest)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

// martOnHost are the two parts of MART's loss as mart.py computes them: the wrong class comes from a sort.
func martOnHost(nat, adv []float64, labels []int32) (bce, weightedKL float64) {
	b := float64(len(labels))
	for i, y := range labels {
		n, q := softmax64(nat[10*i:10*i+10]), softmax64(adv[10*i:10*i+10])
		rising := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
		slices.SortFunc(rising, func(a, b int) int { return cmp.Compare(q[a], q[b]) })
		wrong := rising[9]
		if wrong == int(y) {
			wrong = rising[8]
		}
		bce += (-math.Log(q[y]) - math.Log(1.0001-q[wrong]+1e-12)) / b
		var kl float64
		for k := range n {
			if n[k] > 0 {
				kl += n[k] * (math.Log(n[k]) - math.Log(q[k]+1e-12))
			}
		}
		weightedKL += (1.0000001 - n[y]) * kl / b
	}
	return bce, weightedKL
}

// TestMartByHand compares the parts of the loss on logits where the constants of the formula matter: saturated ones,
// right and wrong.
func TestMartByHand(t *testing.T) {
	rows := [][2][]float64{
		{{1, 2, 3, 0, -1, 0, 0, 1, 2, 1}, {3, 2, 1, 0, -2, 1, 0, 1, 2, 1}},
		{{9, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 9, 0, 0, 0, 0, 0, 0, 8}},
		{{0, 30, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 40, 0, 0, 0, 0, 0, 0}}, // wrong and sure: log 1e-4 and log 1e-12
		{{0, 60, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 60, 0, 0, 0, 0, 0, 0, 0, 0}}, // right and sure: the weight is 1e-7
		{{0, 0, 0, 0, 0, 50, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 49, 0, 0, 0, 0}},
	}
	labels := []int32{2, 9, 1, 1, 4}
	exec := MustNewExec(mltest.GoBackend(t), func(in []*Node) []*Node {
		bce, kl := martTerms(in[0], in[1], in[2])
		return []*Node{bce, kl}
	})
	defer exec.Finalize()
	for _, list := range [][]int{{0}, {1}, {2}, {3}, {4}, {0, 1, 2, 3, 4}} {
		var nat, adv []float64
		var y []int32
		for _, i := range list {
			nat, adv, y = append(nat, rows[i][0]...), append(adv, rows[i][1]...), append(y, labels[i])
		}
		n := len(list)
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(nat, n, 10), tensors.FromFlatDataAndDimensions(adv, n, 10), tensors.FromFlatDataAndDimensions(y, n))
		bce, kl := martOnHost(nat, adv, y)
		mltest.Close(t, "bce and weighted KL", []float64{out[0].Value().(float64), out[1].Value().(float64)}, []float64{bce, kl}, 1e-15, 1e-11)
	}
}

// TestMartParity compares the loss of network O with that of mart.py: its parts from logits in mode E, and all of an
// update, which is in mode T.
func TestMartParity(t *testing.T) {
	var file struct {
		PGD struct {
			Values map[string]float64 `json:"values"`
		} `json:"with_x_adv_pgd"`
	}
	readFixture(t, filepath.Join(torchFolder, "losses.json"), &file)
	x, adv, y := records(t, 64)
	var five, six Method
	for beta, m := range map[float64]*Method{5: &five, 6: &six} {
		c := Defaults("mart")
		c.Arch, c.Mart.Beta = resnet16, beta
		var err error
		if *m, err = NewMethod(c); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"mart_bce_eval", "mart_weighted_kl_eval", "mart_beta5_train", "mart_bce_train", "mart_weighted_kl_train", "mart_beta6_train"}
	got := onXLA(t, []*nn.State{networkO(t)}, []*tensors.Tensor{x, adv, y}, func(nets []*nn.Net, in []*Node) []*Node {
		bce, kl := martTerms(nets[0].Forward(nn.Eval, in[0]), nets[0].Forward(nn.Eval, in[1]), in[2])
		out := []*Node{bce, kl}
		for _, term := range five.Update(testUpdate(five, fork(nets[0]), nil, in)).Log[:3] {
			out = append(out, term.Value)
		}
		return append(out, six.Update(testUpdate(six, fork(nets[0]), nil, in)).Log[0].Value)
	})
	for i, name := range names {
		want, ok := file.PGD.Values[name]
		if !ok {
			t.Fatalf("no reference value %s", name)
		}
		mltest.Close(t, name, got[i], []float64{want}, 1e-5, 2e-5)
	}
	for beta, name := range map[float32]string{5: "mart_beta5_eval", 6: "mart_beta6_eval"} {
		mltest.Close(t, name, []float32{got[0][0] + beta*got[1][0]}, []float64{file.PGD.Values[name]}, 1e-5, 2e-5)
	}
}
