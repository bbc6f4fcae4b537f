package cureml

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// distilVariants are options that change the graphs of methods that learn with a second network.
func distilVariants() map[string]Config {
	list := map[string]Config{}
	add := func(name, method string, change func(*Config)) {
		c := smallConfig(method)
		change(&c)
		list[name] = c
	}
	add("ard with labels, elements averaged", "ard", func(c *Config) { c.Ard = ArdConfig{Alpha: 0.7, Temperature: 5, ElementMean: true} })
	add("iad-1 introspecting", "iad-1", func(c *Config) {
		c.Ard = ArdConfig{Alpha: 0.7, Temperature: 2}
		c.Iad = IadConfig{Beta: 0.4}
	})
	add("iad-1 released", "iad-1", func(c *Config) {
		c.Ard.Alpha = 0.7
		c.Iad = IadConfig{Beta: 0.4, ReleasedWeights: true, ReleasedBN: true}
	})
	add("iad-2 introspecting", "iad-2", func(c *Config) {
		c.Akd2.Temperature = 2
		c.Iad = IadConfig{Beta: 0.4}
	})
	add("hat far", "hat", func(c *Config) { c.Hat = HatConfig{H: 3.5, Beta: 1, Gamma: 2} })
	add("lbgat without KL", "lbgat", func(c *Config) { c.Lbgat.Beta = 0 })
	return list
}

// softmaxOver is the distribution of one image's logits over a temperature.
func softmaxOver(z []float64, temperature float64) []float64 {
	p, sum := make([]float64, len(z)), 0.0
	for k, v := range z {
		p[k] = math.Exp(v / temperature)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

// divergence is KL(softmax(p/T) ‖ softmax(q/T)) of one image.
func divergence(p, q []float64, temperature float64) (kl float64) {
	a, b := softmaxOver(p, temperature), softmaxOver(q, temperature)
	for k := range a {
		kl += a[k] * math.Log(a[k]/b[k])
	}
	return kl
}

// crossEntropyOf is -log softmax(z)_y of one image.
func crossEntropyOf(z []float64, y int32) float64 { return -math.Log(softmaxOver(z, 1)[y]) }

// TestDistillationLosses computes the losses of all methods with a second network on the host, image by image, from the
// papers' formulas, and compares what their updates log.
func TestDistillationLosses(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for name, c := range smallMethods() {
		formula, ok := distillationFormulas[c.Method]
		if !ok {
			continue
		}
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		var terms []string
		got := onGraph(t, method, student, other, b, func(u *Update) (out []*Node) {
			if u.Nets[NaturalTeacher] != nil { // another than the robust teacher
				u.Nets[NaturalTeacher] = fork(u.Student)
			}
			terms = terms[:0]
			for _, term := range method.Update(u).Log {
				terms = append(terms, term.Name)
				out = append(out, term.Value)
			}
			return out
		})
		want := map[string]float64{}
		for _, one := range imagesOf(t, student, other, b, c) {
			for term, v := range formula(c, one) {
				want[term] += v / 3
			}
		}
		compared := 0
		for i, term := range terms {
			if v, ok := want[term]; ok {
				compared++
				mltest.Close(t, name+": "+term, got[i], []float64{v}, 1e-12, 1e-10)
			}
		}
		if compared != len(want) {
			t.Errorf("%s: %d of %d numbers are logged", name, compared, len(want))
		}
	}
}

// image is what the formulas see of one image: the student's logits in mode T on x, x' and the helper image; the robust
// teacher's in mode E on x and x'; the natural teacher's in mode E on x'; the natural partner's in mode T on x.
type image struct {
	nat, adv, helper, robustNat, robustAdv, naturalAdv, partner []float64
	y                                                           int32
}

// imagesOf passes a batch through student, as itself and as the natural teacher, and other, as what else is beside it.
func imagesOf(t *testing.T, student, other net64, b batch64, c Config) (list []image) {
	t.Helper()
	labels, err := tensors.CopyFlatData[int32](b.y)
	if err != nil {
		t.Fatal(err)
	}
	anyPartner := Method{Networks: []Network{{Role: NaturalPartner}}, Inner: &Inner{}}
	out := onGraph(t, anyPartner, student, other, b, func(u *Update) []*Node {
		beside := u.Nets[NaturalPartner]
		learns := func(net *nn.Net, x *Node) *Node { return fork(net).Forward(nn.Train, x) }
		helper := Add(u.X, MulScalar(Sub(u.Adv, u.X), c.Hat.H))
		return []*Node{learns(u.Student, u.X), learns(u.Student, u.Adv), learns(u.Student, helper),
			beside.Forward(nn.Eval, u.X), beside.Forward(nn.Eval, u.Adv), u.Student.Forward(nn.Eval, u.Adv), learns(beside, u.X)}
	})
	for i, y := range labels {
		row := func(k int) []float64 { return out[k][10*i : 10*i+10] }
		list = append(list, image{row(0), row(1), row(2), row(3), row(4), row(5), row(6), y})
	}
	return list
}

// distillationFormulas are the terms of one image by method; smallConfig's introspection begins later than the first step
// unless Iad.Begin is 0.
var distillationFormulas = map[string]func(c Config, x image) map[string]float64{
	"ard": func(c Config, x image) map[string]float64 {
		kl := math.Pow(c.Ard.Temperature, 2) * divergence(x.robustNat, x.adv, c.Ard.Temperature)
		if c.Ard.ElementMean {
			kl /= 10
		}
		return map[string]float64{"loss": c.Ard.Alpha*kl + (1-c.Ard.Alpha)*crossEntropyOf(x.nat, x.y), "kl": kl}
	},
	"iad-1": func(c Config, x image) map[string]float64 {
		a := trusted(c, x)
		told := math.Pow(c.Ard.Temperature, 2) * divergence(x.robustNat, x.adv, c.Ard.Temperature)
		own := (1 - a) * divergence(x.nat, x.adv, 1)
		if !c.Iad.ReleasedWeights {
			told *= a
		}
		return map[string]float64{"loss": c.Ard.Alpha*(told+own) + (1-c.Ard.Alpha)*crossEntropyOf(x.nat, x.y), "introspection": own, "trust": a}
	},
	"akd2": func(c Config, x image) map[string]float64 {
		t := c.Akd2.Temperature
		robust, natural := t*t*divergence(x.robustAdv, x.adv, t), t*t*divergence(x.naturalAdv, x.adv, t)
		rest := 1 - c.Akd2.Robust - c.Akd2.Natural
		return map[string]float64{"loss": rest*crossEntropyOf(x.adv, x.y) + c.Akd2.Robust*robust + c.Akd2.Natural*natural, "kl": robust, "kl_natural": natural}
	},
	"iad-2": func(c Config, x image) map[string]float64 {
		a, t := trusted(c, x), c.Akd2.Temperature
		robust, natural, own := t*t*divergence(x.robustAdv, x.adv, t), t*t*divergence(x.naturalAdv, x.adv, t), t*t*divergence(x.nat, x.adv, 1)
		rest := 1 - c.Akd2.Robust - c.Akd2.Natural
		return map[string]float64{"loss": rest*crossEntropyOf(x.adv, x.y) + c.Akd2.Robust*(a*robust+(1-a)*own) + c.Akd2.Natural*natural, "trust": a}
	},
	"act": func(c Config, x image) map[string]float64 {
		t := c.Act.Temperature
		robust, natural := t*t*divergence(x.partner, x.adv, t), t*t*divergence(x.adv, x.partner, t)
		return map[string]float64{
			"loss":         (1-c.Act.AlphaRobust)*crossEntropyOf(x.adv, x.y) + c.Act.AlphaRobust*robust,
			"natural_loss": (1-c.Act.AlphaNatural)*crossEntropyOf(x.partner, x.y) + c.Act.AlphaNatural*natural}
	},
	"lbgat": func(c Config, x image) map[string]float64 {
		var mse float64
		for k := range x.adv {
			mse += math.Pow(x.adv[k]-x.partner[k], 2) / 10
		}
		return map[string]float64{"loss": mse + crossEntropyOf(x.partner, x.y) + c.Lbgat.Beta*divergence(x.nat, x.adv, 1), "mse": mse}
	},
	"hat": func(c Config, x image) map[string]float64 {
		label := int32(0)
		for k, v := range x.naturalAdv {
			if v > x.naturalAdv[label] {
				label = int32(k)
			}
		}
		helper := crossEntropyOf(x.helper, label)
		return map[string]float64{"loss": crossEntropyOf(x.nat, x.y) + c.Hat.Beta*divergence(x.nat, x.adv, 1) + c.Hat.Gamma*helper, "helper": helper}
	},
}

// trusted is A of one image.
func trusted(c Config, x image) float64 {
	if c.Iad.Begin > 0 {
		return 1
	}
	return math.Pow(softmaxOver(x.robustAdv, 1)[x.y], c.Iad.Beta)
}

// TestIntrospectionBegins: A is 1 for exactly the first share of the steps, whatever the length of a run.
func TestIntrospectionBegins(t *testing.T) {
	for _, c := range []struct {
		method                 string
		epochs, perEpoch, want int // the first step that introspects
	}{
		{"iad-1", 200, 391, 60 * 391}, {"iad-2", 200, 391, 40 * 391}, // the papers' epochs
		{"iad-1", 6, 39, 71}, {"iad-2", 1, 10, 2},
	} {
		at := Defaults(c.method).Iad.scalars()[0].At
		for step := range c.epochs * c.perEpoch {
			p := Progress{Step: step, Total: c.epochs * c.perEpoch, PerEpoch: c.perEpoch}
			if got := at(p); got != map[bool]float64{true: 1, false: 0}[step >= c.want] {
				t.Fatalf("%s, %d epochs: %v at step %d, want introspection from %d on", c.method, c.epochs, got, step, c.want)
			}
		}
	}
}
