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
	maps.Copy(list, distilVariants())
	c := smallConfig("mart")
	c.Mart.AdvFirst = true
	list["mart adv_first"] = c
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
		if c.Method == "st-at" {
			continue // its targets depend on the student and are stopped: TestSTGradient
		}
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Batch = 3           // that of b
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
		direction := make([][]float64, len(base)-1)
		var want float64
		for i, grads := range base[1:] {
			direction[i] = make([]float64, len(grads))
			for k, g := range grads {
				direction[i][k] = rng.NormFloat64()
				want += direction[i][k] * g
			}
		}
		along := func(h float64) float64 {
			moved := student
			moved.values = slices.Clone(student.values)
			g := 0
			for i, tensor := range student.list {
				if !tensor.Kind.Trainable() {
					continue
				}
				v, err := tensors.CopyFlatData[float64](student.values[i])
				if err != nil {
					t.Fatal(err)
				}
				for k := range v {
					v[k] += h * direction[g][k]
				}
				moved.values[i] = tensors.FromFlatDataAndDimensions(v, tensor.Shape...)
				g++
			}
			return loss(moved)[0][0]
		}
		// A larger step may cross the kink of a ReLU, a smaller one drowns in the rounding of small divergences.
		var got []float64
		for _, h := range []float64{1e-6, 1e-7} {
			got = append(got, (along(h)-along(-h))/(2*h))
			if math.Abs(got[len(got)-1]-want) <= 1e-6*math.Abs(want)+1e-8 {
				got = nil
				break
			}
		}
		if got != nil {
			t.Errorf("%s: differences give %v along the direction, the gradient %v", name, got, want)
		}
	}
}

// TestRunningStatistics watches which running statistics each method moves, in the update and in a step of its attack.
func TestRunningStatistics(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	// idle passes of the student leave its statistics as they are and are counted all the same
	idle := map[string]int{"iad-1 released, before introspection": 1}
	for _, tc := range []struct {
		name   string
		config Config
		// update lists the passes in mode T of each network in an update, in order: x over clean images, a over adversarial ones, h
		// over HAT's helper images, b over clean and adversarial ones as one batch.
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
		{"fast-at", smallConfig("fast-at"), map[string]string{Student: "a"}, true},
		{"free-at", smallConfig("free-at"), map[string]string{Student: "x"}, false}, // the perturbation is zero
		{"act", smallConfig("act"), map[string]string{Student: "a", NaturalPartner: "x"}, false},
		{"ard", smallConfig("ard"), map[string]string{Student: "ax", RobustTeacher: ""}, true},
		{"ard attacked in E", func() Config { c := smallConfig("ard"); c.Attack.BN = "E"; return c }(), map[string]string{Student: "ax", RobustTeacher: ""}, false},
		{"akd2", smallConfig("akd2"), map[string]string{Student: "a", RobustTeacher: "", NaturalTeacher: ""}, true},
		{"iad-1", smallConfig("iad-1"), map[string]string{Student: "ax", RobustTeacher: ""}, true},
		{"iad-1 released", smallMethods()["iad-1 released"], map[string]string{Student: "axx", RobustTeacher: ""}, true},
		{"iad-1 released, before introspection", func() Config { c := smallMethods()["iad-1 released"]; c.Iad.Begin = 0.3; return c }(), map[string]string{Student: "ax", RobustTeacher: ""}, true},
		{"iad-2", smallConfig("iad-2"), map[string]string{Student: "ax", RobustTeacher: "", NaturalTeacher: ""}, true},
		{"hat", smallConfig("hat"), map[string]string{Student: "xah", NaturalTeacher: ""}, false},
		{"lbgat", smallConfig("lbgat"), map[string]string{Student: "ax", NaturalPartner: "x"}, false},
		{"las-at", smallConfig("las-at"), map[string]string{Student: "a", Strategy: ""}, false},
		{"las-trades", smallConfig("las-trades"), map[string]string{Student: "xa", Strategy: ""}, false},
		{"las-at attacked in T", func() Config { c := smallConfig("las-at"); c.Attack.BN = "T"; return c }(), map[string]string{Student: "a"}, true},
		{"cure copied", smallMethods()["cure ema_bn copied"], map[string]string{Student: "xa", Revision: ""}, false},
		{"mart", smallConfig("mart"), map[string]string{Student: "xa"}, false},
		{"mart adv_first", smallMethods()["mart adv_first"], map[string]string{Student: "ax"}, false},
		{"fat", smallConfig("fat"), map[string]string{Student: "a"}, false},
		{"fat-trades", smallConfig("fat-trades"), map[string]string{Student: "xa"}, false},
		{"fat-mart", smallConfig("fat-mart"), map[string]string{Student: "xa"}, false},
		{"fat attacked in T", func() Config { c := smallConfig("fat"); c.Attack.BN = "T"; return c }(), map[string]string{Student: "a"}, true},
		{"st-at", smallConfig("st-at"), map[string]string{Student: "xa"}, false},
		{"st-at attacked in T", func() Config { c := smallConfig("st-at"); c.Attack.BN = "T"; return c }(), map[string]string{Student: "xa"}, true},
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
		tc.config.Batch = 3 // that of b
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
					x := map[rune]*Node{'x': u.X, 'a': u.Adv}[images]
					switch images {
					case 'h':
						x = Add(u.X, MulScalar(Sub(u.Adv, u.X), tc.config.Hat.H))
					case 'b':
						x = Concatenate([]*Node{u.X, u.Adv}, 0)
					}
					u.Nets[role].Forward(nn.Train, x)
				}
			}
			return read(u)
		})
		for i, role := range roles {
			mltest.Close(t, tc.name+": "+role, got[i], want[i], 1e-14, 0)
		}
		if want := len(tc.update[Student]) + idle[tc.name]; tracked != want {
			t.Errorf("%s: counts %d training passes, want %d", tc.name, tracked, want)
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
	wide := func(c *Config) { c.Attack.Eps = 0.5 } // the first iterate of FAT is projected, so the ball must hold the batch's images
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
		{"Fast-AT updates as AT does", smallConfig("fast-at"), smallConfig("at")},
		{"Free-AT with a perturbation of zero updates as natural training does",
			with("free-at", func(c *Config) { c.Batch = 3 }), smallConfig("natural")},
		{"ARD with alpha 0 is natural training", with("ard", func(c *Config) { c.Ard.Alpha = 0 }), smallConfig("natural")},
		{"IAD-I with beta 0 is ARD",
			with("iad-1", func(c *Config) { c.Iad = IadConfig{}; c.Ard = ArdConfig{Alpha: 0.8, Temperature: 3} }),
			with("ard", func(c *Config) { c.Ard = ArdConfig{Alpha: 0.8, Temperature: 3} })},
		{"released IAD-I with beta 0 is ARD",
			with("iad-1", func(c *Config) { c.Iad = IadConfig{ReleasedWeights: true} }),
			with("ard", func(c *Config) { c.Ard.Temperature = 1 })},
		{"IAD-I before introspection is ARD",
			smallConfig("iad-1"), with("ard", func(c *Config) { c.Ard.Temperature = 1 })},
		{"IAD-II with beta 0 is AKD2",
			with("iad-2", func(c *Config) { c.Iad = IadConfig{} }),
			with("akd2", func(c *Config) { c.Akd2 = Akd2Config{Robust: 0.5, Natural: 0.25, Temperature: 1} })},
		{"IAD-II before introspection is AKD2",
			with("iad-2", func(c *Config) { c.Akd2 = Akd2Config{Robust: 0.6, Natural: 0.1, Temperature: 2} }),
			smallConfig("akd2")},
		{"AKD2 without teachers is AT", with("akd2", func(c *Config) { c.Akd2.Robust, c.Akd2.Natural = 0, 0 }), smallConfig("at")},
		{"ACT without mimicry is AT", with("act", func(c *Config) { c.Act.AlphaRobust = 0 }), smallConfig("at")},
		{"HAT with gamma 0 is TRADES",
			with("hat", func(c *Config) { c.Hat.Gamma = 0 }), with("trades", func(c *Config) { c.Trades.Beta = 2.5 })},
		{"an update of FAT is one of AT", with("fat", wide), smallConfig("at")},
		{"an update of FAT-TRADES is one of TRADES", with("fat-trades", wide), smallConfig("trades")},
		{"an update of FAT-MART is one of MART with beta 6",
			with("fat-mart", wide), with("mart", func(c *Config) { c.Mart.Beta = 6 })},
		{"ST-AT with beta 0 is natural training",
			with("st-at", func(c *Config) { c.ST.Beta = 0 }), smallConfig("natural")},
		{"LAS-AT with hard labels is AT", with("las-at", func(c *Config) { c.Las.Target = 1 }), smallConfig("at")},
		{"LAS-TRADES with one beta is TRADES",
			with("las-trades", func(c *Config) { c.Las.Beta = Span{7, 7} }),
			with("trades", func(c *Config) { c.Trades.Beta = 7 })},
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
