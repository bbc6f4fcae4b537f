package cureml

import (
	"fmt"
	"maps"
	"math"
	"slices"
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
	change := func(name, method string, f func(c *Config)) {
		c := smallConfig(method)
		f(&c)
		list[name] = c
	}
	change("at madry", "at", func(c *Config) { c.At.Face = "madry" })
	change("at rice", "at", func(c *Config) { c.At.Face = "rice" })
	change("at smoothed", "at", func(c *Config) { c.At.Smoothing = 0.3 })
	for _, method := range []string{"score", "score-trades", "score-generated"} {
		change(method+" kl", method, func(c *Config) { c.Score.Divergence, c.Score.Smoothing = "kl", 0.1 })
	}
	// Bounds that some of the small images stay below: TestScoreLosses.
	change("score clipped", "score", func(c *Config) { c.Score.Clip = 0.9 })
	change("score-trades clipped", "score-trades", func(c *Config) { c.Score.Clip = 0.9 })
	change("score-trades clip_robust", "score-trades", func(c *Config) { c.Score.Clip, c.Score.ClipRobust = 0.05, true })
	change("score-generated clipped", "score-generated", func(c *Config) { c.Score.Clip = 1e-3 })
	change("adr-trades from N", "adr-trades", func(c *Config) { c.Attack.From = "normal" })
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
			return onGraph(t, method, n, revision, b, func(u *Update) []*Node {
				o := method.Update(u)
				return append([]*Node{o.Log[0].Value}, o.Grads...)
			})
		}
		base := loss(student)
		rng := data.Stream(5, "direction")
		const h = 1e-7 // at 1e-6 a ReLU may change sides
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

// TestRunningStatistics watches which running statistics each method moves, in the update and in a step of its attack.
func TestRunningStatistics(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for _, tc := range []struct {
		name   string
		config Config
		// update lists the passes in mode T of each network in an update, in order: x over clean images, a over adversarial
		// ones, b over both as one batch.
		update map[string]string
		attack bool // an attack step moves the student's
	}{
		{"natural", smallConfig("natural"), map[string]string{Student: "x"}, false},
		{"at", smallConfig("at"), map[string]string{Student: "a"}, false},
		{"at attacked in T", func() Config { c := smallConfig("at"); c.Attack.BN = "T"; return c }(), map[string]string{Student: "a"}, true},
		{"at attacked in T0", func() Config { c := smallConfig("at"); c.Attack.BN = "T0"; return c }(), map[string]string{Student: "a"}, false},
		{"trades", smallConfig("trades"), map[string]string{Student: "xa"}, false},
		{"trades released", func() Config { c := smallConfig("trades"); c.Trades.ReleasedBN = true; return c }(), map[string]string{Student: "xax"}, false},
		{"cure", smallConfig("cure"), map[string]string{Student: "xa", Revision: "xa"}, false},
		{"cure copied", smallMethods()["cure ema_bn copied"], map[string]string{Student: "xa", Revision: ""}, false},
		{"at madry", smallMethods()["at madry"], map[string]string{Student: "a"}, true},
		{"at rice", smallMethods()["at rice"], map[string]string{Student: "aax"}, true},
		{"at rice attacked in E", func() Config { c := smallMethods()["at rice"]; c.Attack.BN = "E"; return c }(), map[string]string{Student: "ax"}, false},
		{"score", smallConfig("score"), map[string]string{Student: "a"}, true},
		{"score-trades", smallConfig("score-trades"), map[string]string{Student: "ax"}, false},
		{"score-generated", smallConfig("score-generated"), map[string]string{Student: "xa"}, false},
		{"dafa", smallConfig("dafa"), map[string]string{Student: "ax"}, false},
		{"adr", smallConfig("adr"), map[string]string{Student: "a", EMATeacher: ""}, true},
		{"adr-trades", smallConfig("adr-trades"), map[string]string{Student: "b", EMATeacher: ""}, true},
		{"adr attacked in E", func() Config { c := smallConfig("adr"); c.Attack.BN = "E"; return c }(), map[string]string{Student: "a", EMATeacher: ""}, false},
	} {
		method, err := NewMethod(tc.config)
		if err != nil {
			t.Fatal(err)
		}
		const stat = "bn1.running_mean"
		roles := slices.Sorted(maps.Keys(tc.update))
		read := func(u *Update) (out []*Node) {
			for _, role := range roles {
				out = append(out, u.Nets[role].Vars[stat])
			}
			return out
		}
		tracked := 0
		got := onGraph(t, method, student, other, b, func(u *Update) []*Node {
			before := u.Student.Tracked // passes before the attack: TestPasses
			if o := method.Update(u); o.After != nil {
				o.After()
			}
			tracked = u.Student.Tracked - before
			return read(u)
		})
		want := onGraph(t, method, student, other, b, func(u *Update) []*Node {
			for role, passes := range tc.update {
				for _, images := range passes {
					batch := map[rune]*Node{'x': u.X, 'a': u.Adv}[images]
					if images == 'b' {
						batch = Concatenate([]*Node{u.X, u.Adv}, 0)
					}
					u.Nets[role].Forward(nn.Train, batch)
				}
			}
			return read(u)
		})
		for i, role := range roles {
			mltest.Close(t, tc.name+": "+role, got[i], want[i], 1e-14, 0)
		}
		if tracked != len(tc.update[Student]) {
			t.Errorf("%s: counts %d training passes, want %d", tc.name, tracked, len(tc.update[Student]))
		}
		if method.Inner == nil {
			continue
		}
		moved := onGraph(t, method, student, other, b, func(u *Update) []*Node {
			before := u.Student.Vars[stat]
			method.Inner.step(&u.Frame, u.State)
			return []*Node{before, u.Student.Vars[stat]}
		})
		if got := !slices.Equal(moved[0], moved[1]); got != tc.attack {
			t.Errorf("%s: a step of the attack moves running statistics: %v, want %v", tc.name, got, tc.attack)
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
		return onGraph(t, method, student, revision, b, func(u *Update) []*Node {
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
		{"the faces of AT share one loss", with("at", func(c *Config) { c.At.Face = "rice" }), smallConfig("at")},
		{"AT with next to no label smoothing is AT", with("at", func(c *Config) { c.At.Smoothing = 1e-300 }), smallConfig("at")},
		{"SCORE of KL without a bound is AT",
			with("score", func(c *Config) { c.Score.Divergence, c.Score.Clip = "kl", 0 }), smallConfig("at")},
		{"SCORE-TRADES of KL without a bound is TRADES",
			with("score-trades", func(c *Config) { c.Score.Divergence, c.Score.Clip = "kl", 0 }), smallConfig("trades")},
		{"SCORE with generated data of KL is TRADES",
			with("score-generated", func(c *Config) { c.Score.Divergence, c.Score.Lambda = "kl", 6 }), smallConfig("trades")},
		{"DAFA warms up as TRADES", smallConfig("dafa"), smallConfig("trades")},
		{"ADR with lambda 0 is AT", with("adr", func(c *Config) { c.Adr.InterpolationLow = 0 }), smallConfig("at")},
	} {
		got, want := grads(tc.a), grads(tc.b)
		for i := range want {
			mltest.Close(t, fmt.Sprintf("%s: %s", tc.name, student.trainable()[i]), got[i], want[i], 1e-13, 1e-9)
		}
	}
}
