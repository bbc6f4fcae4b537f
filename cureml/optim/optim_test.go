package optim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
)

// TestSGD compares three steps with torch.optim.SGD (torch 2.15.0, float64, lr 0.1, momentum 0.9, weight decay 5e-4).
func TestSGD(t *testing.T) {
	grads := [][]float64{{.1, -.2, .3}, {0, .5, -.1}, {-.3, 0, .2}}
	for _, tc := range []struct {
		nesterov bool
		want     []float64
	}{
		{false, []float64{1.0026214119748749, -2.04024032394975, 0.4175649559249375}},
		{true, []float64{1.0222127335976676, -2.065916442195335, 0.38574243387014634}},
	} {
		o := SGD{Momentum: 0.9, WeightDecay: 5e-4, Nesterov: tc.nesterov}
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		step := MustNewExec(mltest.GoBackend(t), func(w, g, v *Node) (*Node, *Node) {
			return o.Update(w, g, v, ConstAs(w, 0.1))
		})
		w, v := tensors.FromValue([]float64{1, -2, .5}), tensors.FromValue([]float64{0, 0, 0})
		for _, g := range grads {
			w, v = step.MustCall2(w, g, v)
		}
		mltest.Close(t, fmt.Sprintf("nesterov %v", tc.nesterov), w.Value().([]float64), tc.want, 1e-14, 0)
	}
}

// TestPercentile compares with the definition on sorted values, over sizes, shares, signs and ties, on both float types.
func TestPercentile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int, draw func() float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(float32(draw()))
		}
		return v
	}
	cases := map[string][]float64{
		"one value":   {3},
		"two":         {-1, 4},
		"ties":        {2, 2, 2, 1, 1, 5, 5, 5, 5, 0},
		"zeros":       {0, 0, math.Copysign(0, -1), 0, 1e-40, -1e-40},
		"signed":      random(1001, rng.NormFloat64),
		"magnitudes":  random(432, func() float64 { return math.Abs(rng.NormFloat64()) * math.Pow(10, -8*rng.Float64()) }),
		"many digits": random(16, rng.Float64),
	}
	for _, q := range []float64{0, 0.01, 0.3, 0.5, 0.7, 1} {
		var names []string
		var inputs, narrow []any
		var want []float64
		for name, v := range cases {
			single := make([]float32, len(v))
			for i := range v {
				single[i] = float32(v[i])
			}
			names, inputs, narrow, want = append(names, name), append(inputs, v), append(narrow, single), append(want, sortedPercentile(v, q))
		}
		fn := func(x []*Node) []*Node { return Percentile(x, q) }
		double := MustNewExec(mltest.GoBackend(t), fn).MustCall(inputs...)
		single := MustNewExec(mltest.GoBackend(t), fn).MustCall(narrow...)
		for i, name := range names {
			mltest.Close(t, fmt.Sprintf("%s, q %v, float64", name, q), []float64{double[i].Value().(float64)}, want[i:i+1], 0, 1e-14)
			mltest.Close(t, fmt.Sprintf("%s, q %v, float32", name, q), []float32{single[i].Value().(float32)}, want[i:i+1], 1e-38, 1e-6)
		}
	}
}

// sortedPercentile is numpy.percentile's definition: linear interpolation at position q(n-1) of the sorted values.
func sortedPercentile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	pos := q * float64(len(s)-1)
	k := int(pos)
	if k == len(s)-1 {
		return s[k]
	}
	return s[k] + (pos-float64(k))*(s[k+1]-s[k])
}

// TestOneCycle compares with torch.optim.lr_scheduler.OneCycleLR(max_lr=0.2, total_steps=40, pct_start=0.3), torch 2.15.0.
func TestOneCycle(t *testing.T) {
	want := map[int]float64{0: 0.008, 1: 0.01188867453, 5: 0.09033777553, 10: 0.1961113255, 11: 0.2, 12: 0.1993712235,
		25: 0.1000004, 38: 0.0006295764956, 39: 8e-07}
	for step, lr := range want {
		if got := OneCycle(0.2, 0.3).At(step, 40, 4); math.Abs(got-lr) > 1e-9*(1+lr) {
			t.Errorf("step %d: got %v, want %v", step, got, lr)
		}
	}
}

func TestSchedules(t *testing.T) {
	step := Step(0.1, 0.1, 3, 5) // 1-based epochs, 10 steps each
	for at, want := range map[int]float64{0: .1, 19: .1, 20: .01, 39: .01, 40: .001, 99: .001} {
		if got := step.At(at, 100, 10); math.Abs(got-want) > 1e-15 {
			t.Errorf("step schedule at %d: got %v, want %v", at, got, want)
		}
	}
	if c := Cosine(0.2); c.At(0, 100, 10) != 0.2 || math.Abs(c.At(50, 100, 10)-0.1) > 1e-15 || math.Abs(c.At(100, 100, 10)) > 1e-15 {
		t.Errorf("cosine: %v, %v, %v; want 0.2, 0.1, 0", c.At(0, 100, 10), c.At(50, 100, 10), c.At(100, 100, 10))
	}
	// LBGAT's first epoch, then FAT's drops: multipliers of their own, rates above and below the one before.
	own := Schedule{Kind: "step", Max: 0.1, Milestones: []int{1, 2, 4}, Factors: []float64{0.2, 5, 0.5}}
	for at, want := range map[int]float64{0: .02, 9: .02, 10: .1, 29: .1, 30: .05, 99: .05} {
		if got := own.At(at, 100, 10); math.Abs(got-want) > 1e-15 {
			t.Errorf("step schedule with factors at %d: got %v, want %v", at, got, want)
		}
	}
	// torch.optim.lr_scheduler.CyclicLR(base_lr=0, max_lr=0.2, step_size_up=4, step_size_down=4)
	for at, want := range []float64{0, 0.05, 0.1, 0.15, 0.2, 0.15, 0.1, 0.05} {
		if got := Triangular(0.2).At(at, 8, 4); math.Abs(got-want) > 1e-15 {
			t.Errorf("triangular at %d: got %v, want %v", at, got, want)
		}
	}
	// an odd number of steps: CyclicLR with step_size_up = step_size_down = 2.5; and a rise of a fifth
	for at, want := range []float64{0, 0.08, 0.16, 0.16, 0.08} {
		if got := Triangular(0.2).At(at, 5, 5); math.Abs(got-want) > 1e-15 {
			t.Errorf("triangular over 5 steps at %d: got %v, want %v", at, got, want)
		}
	}
	short := Schedule{Kind: "triangular", Max: 0.4, Rise: 0.2}
	if short.At(1, 10, 5) != 0.2 || short.At(2, 10, 5) != 0.4 || math.Abs(short.At(6, 10, 5)-0.2) > 1e-15 {
		t.Errorf("triangular with rise 0.2: %v, %v, %v; want 0.2, 0.4, 0.2", short.At(1, 10, 5), short.At(2, 10, 5), short.At(6, 10, 5))
	}
	if got := (Schedule{Kind: "constant", Max: 0.3}).At(77, 100, 10); got != 0.3 {
		t.Errorf("constant: got %v, want 0.3", got)
	}
}

func TestParseSchedule(t *testing.T) {
	got, err := ParseSchedule("step:0.1:100,150", 0.1)
	if err != nil || got.Validate() != nil || !slices.Equal(got.Milestones, []int{100, 150}) || got.Factor != 0.1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseSchedule("triangular", 0.2); err != nil || got.Validate() != nil || got.At(5, 10, 5) != 0.2 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "linear", "step", "step:x:1", "step:0.1:0", "step:0.1:a", "step:0.1"} {
		if s, err := ParseSchedule(bad, 0.1); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, s)
		}
	}
}

func TestValidate(t *testing.T) {
	nan := math.NaN()
	for _, bad := range []interface{ Validate() error }{
		SGD{Momentum: 1}, SGD{Momentum: nan}, SGD{WeightDecay: -1}, SGD{Nesterov: true},
		Schedule{Kind: "constant"}, Schedule{Kind: "constant", Max: nan}, Schedule{Kind: "warm", Max: .1},
		Schedule{Kind: "step", Max: .1}, Schedule{Kind: "onecycle", Max: .1},
		Schedule{Kind: "triangular", Max: .1}, Schedule{Kind: "triangular", Max: .1, Rise: 1},
		Schedule{Kind: "step", Max: .1, Milestones: []int{3}, Factors: []float64{.1, .1}},
		Schedule{Kind: "step", Max: .1, Milestones: []int{3}, Factors: []float64{0}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v: want an error", bad)
		}
	}
}
