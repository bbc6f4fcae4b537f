package cureml

import (
	"fmt"
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// smallMethods are all methods with the options that change their graphs.
func smallMethods() map[string]Config {
	list := map[string]Config{}
	for _, name := range MethodNames() {
		list[name] = smallConfig(name)
	}
	for _, face := range []string{"released", "rgp_soft"} {
		c := smallConfig("cure")
		c.Cure.Face = face
		list["cure "+face] = c
	}
	for _, bn := range []string{"copied", "averaged"} {
		c := smallConfig("cure")
		c.Cure.EMABN = bn
		list["cure ema_bn "+bn] = c
	}
	return list
}

// TestLossGradients checks every method's gradient against central differences of its loss, in float64, along random
// directions through all weights.
func TestLossGradients(t *testing.T) {
	student, revision, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for name, c := range smallMethods() {
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Cure.Percentile = 0 // masks would cut the released gradients
		if method, err = NewMethod(c); err != nil {
			t.Fatal(err)
		}
		loss := func(n net64) [][]float64 {
			return onGraph(t, n, revision, b, func(u *Update) []*Node {
				o := method.Update(u)
				return append([]*Node{o.Log[0].Value}, o.Grads...)
			})
		}
		base := loss(student)
		rng := data.Stream(5, "direction")
		const h = 1e-6
		plus, minus := student, student
		plus.values, minus.values = append([]*tensors.Tensor(nil), student.values...), append([]*tensors.Tensor(nil), student.values...)
		var want float64
		g := 1
		for i, tensor := range student.list {
			if !tensor.Kind.Trainable() {
				continue
			}
			v, err := tensors.CopyFlatData[float64](student.values[i])
			if err != nil {
				t.Fatal(err)
			}
			up, down := make([]float64, len(v)), make([]float64, len(v))
			for k := range v {
				d := rng.NormFloat64()
				up[k], down[k] = v[k]+h*d, v[k]-h*d
				want += d * base[g][k]
			}
			plus.values[i] = tensors.FromFlatDataAndDimensions(up, tensor.Shape...)
			minus.values[i] = tensors.FromFlatDataAndDimensions(down, tensor.Shape...)
			g++
		}
		got := (loss(plus)[0][0] - loss(minus)[0][0]) / (2 * h)
		if math.Abs(got-want) > 1e-6*math.Abs(want)+1e-8 {
			t.Errorf("%s: differences give %v along the direction, the gradient %v", name, got, want)
		}
	}
}

// TestRunningStatistics watches which running statistics each method moves, and how many training passes it counts.
func TestRunningStatistics(t *testing.T) {
	student, revision, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for _, tc := range []struct {
		name    string
		config  Config
		x, adv  int // passes over clean and adversarial images in mode T, in that order repeated
		again   bool
		revMove bool
	}{
		{"natural", smallConfig("natural"), 1, 0, false, false},
		{"at", smallConfig("at"), 0, 1, false, false},
		{"trades", smallConfig("trades"), 1, 1, false, false},
		{"trades released", func() Config { c := smallConfig("trades"); c.Trades.ReleasedBN = true; return c }(), 1, 1, true, false},
		{"cure", smallConfig("cure"), 1, 1, false, true},
		{"cure copied", smallMethods()["cure ema_bn copied"], 1, 1, false, false},
	} {
		method, err := NewMethod(tc.config)
		if err != nil {
			t.Fatal(err)
		}
		const stat = "bn1.running_mean"
		var tracked int
		got := onGraph(t, student, revision, b, func(u *Update) []*Node {
			method.Update(u)
			tracked = u.Student.Tracked
			return []*Node{u.Student.Vars[stat], u.Nets[Revision].Vars[stat]}
		})
		want := onGraph(t, student, revision, b, func(u *Update) []*Node {
			u.Student.Arch.Name = "resnet18"
			for range tc.x {
				u.Student.Forward(nn.Train, u.X)
			}
			for range tc.adv {
				u.Student.Forward(nn.Train, u.Adv)
			}
			if tc.again {
				u.Student.Forward(nn.Train, u.X)
			}
			before := u.Nets[Revision].Vars[stat]
			if tc.revMove {
				u.Nets[Revision].Forward(nn.Train, u.X)
				u.Nets[Revision].Forward(nn.Train, u.Adv)
			}
			return []*Node{u.Student.Vars[stat], u.Nets[Revision].Vars[stat], before}
		})
		mltest.Close(t, tc.name+": student", got[0], want[0], 1e-14, 0)
		mltest.Close(t, tc.name+": revision", got[1], want[1], 1e-14, 0)
		if moved := fmt.Sprint(got[1]) != fmt.Sprint(want[2]); moved != tc.revMove {
			t.Errorf("%s: statistics of the revision model moved: %v, want %v", tc.name, moved, tc.revMove)
		}
		if passes := tc.x + tc.adv; tracked != passes && !(tc.again && tracked == passes+1) {
			t.Errorf("%s: counts %d training passes, want %d", tc.name, tracked, passes)
		}
	}
}

// TestIdentities: settings that switch a part off leave the simpler method.
func TestIdentities(t *testing.T) {
	student, revision, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	grads := func(c Config) [][]float64 {
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		return onGraph(t, student, revision, b, func(u *Update) []*Node {
			o := method.Update(u)
			for i, keep := range o.Keep { // as the update would see them: conserved entries have no gradient
				if keep != nil {
					o.Grads[i] = Where(keep, ZerosLike(o.Grads[i]), o.Grads[i])
				}
			}
			return o.Grads
		})
	}
	with := func(method string, change func(*Config)) Config {
		c := smallConfig(method)
		change(&c)
		return c
	}
	for _, tc := range []struct {
		name string
		a, b Config
	}{
		{"TRADES with beta 0 is natural training",
			with("trades", func(c *Config) { c.Trades.Beta = 0 }), smallConfig("natural")},
		{"CURE with p 0 and gamma 0 is TRADES with beta 1",
			with("cure", func(c *Config) { c.Cure.Percentile, c.Cure.Gamma = 0, 0 }),
			with("trades", func(c *Config) { c.Trades.Beta = 1 })},
		{"released CURE with p 0, alpha 1 and gamma 0 is natural training",
			with("cure", func(c *Config) { c.Cure.Face, c.Cure.Percentile, c.Cure.Alpha, c.Cure.Gamma = "released", 0, 1, 0 }),
			smallConfig("natural")},
		{"released CURE with p 0, alpha 0 and gamma 0 is AT",
			with("cure", func(c *Config) { c.Cure.Face, c.Cure.Percentile, c.Cure.Alpha, c.Cure.Gamma = "released", 0, 0, 0 }),
			smallConfig("at")},
	} {
		got, want := grads(tc.a), grads(tc.b)
		for i := range want {
			mltest.Close(t, fmt.Sprintf("%s: %s", tc.name, student.trainable()[i]), got[i], want[i], 1e-13, 1e-9)
		}
	}
}
