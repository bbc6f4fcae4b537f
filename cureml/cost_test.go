package cureml

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// TestPassesOfMethods compares the table of passes with the convolutions in the graphs of the methods: a ResNet-18 has 20, and as
// many in each pass back, but one less where nothing asks for the gradient of the images.
func TestPassesOfMethods(t *testing.T) {
	for _, name := range MethodNames() {
		for _, set := range append([]string{""}, otherPasses[name]...) {
			t.Run(name+" "+set, func(t *testing.T) {
				c := Defaults(name)
				c.Arch, c.Batch, c.Epochs = nn.Arch{Name: "resnet18", Width: 1, Classes: 10}, 2, 5
				c.Teacher = TeacherConfig{Robust: ZooPrefix + "trades", Natural: ZooPrefix + "natural"}
				c.Las.Width = 1
				if set != "" {
					if err := c.Set(splitSetting(set)); err != nil {
						t.Fatal(err)
					}
				}
				want, err := c.passes(name)
				if err != nil {
					t.Fatal(err)
				}
				context, step, update := convolutions(t, c)
				if name == "adr-trades" {
					update *= 2 // x and x' are one batch there
				}
				if whole := want.context + want.update + want.beside; math.Round(context+update) != whole {
					t.Errorf("begin and update make %.2f passes, the table has %g", context+update, whole)
				}
				if step > 0 && math.Round(step) != want.step {
					t.Errorf("a step of the attack makes %.2f passes, the table has %g", step, want.step)
				}
			})
		}
	}
}

// otherPasses are settings that change what is computed.
var otherPasses = map[string][]string{
	"at": {"at.face=rice"}, "ard": {"ard.alpha=0.5"}, "lbgat": {"lbgat.beta=0"}, "cure": {"cure.face=released", "cure.face=rgp_soft"},
}

func splitSetting(s string) (path, value string) {
	for i := range s {
		if s[i] == '=' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// convolutions counts passes of 20 convolutions in what starts an attack, in its steps, and in the update.
func convolutions(t *testing.T, c Config) (context, step, update float64) {
	t.Helper()
	m, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	m.before = nil
	start, err := nn.Init(c.Arch, 0)
	if err != nil {
		t.Fatal(err)
	}
	memory, _, err := newMemory(start, c, m)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Free()
	p, err := newPrograms(mltest.GoBackend(t), c, m, memory)
	if err != nil {
		t.Fatal(err)
	}
	defer p.finalize()

	// trace builds a part of the step and counts what its results are made of.
	trace := func(build func(f *Frame, in []*Node) []*Node, extra ...shapes.Shape) (passes float64, out []shapes.Shape) {
		g := NewGraph(mltest.GoBackend(t), t.Name())
		defer g.Finalize()
		var vars, in []*Node
		for _, name := range memory.names {
			vars = append(vars, Parameter(g, name, memory.values[name].Shape()))
		}
		shared := []shapes.Shape{shapes.Make(dtypes.Int32, c.Batch), shapes.Make(dtypes.Float32, 1+len(p.scalars))}
		if m.Keys {
			shared = append(shared, shapes.Make(dtypes.Uint32, c.Batch, 2))
		}
		for i, s := range append(shared, extra...) {
			in = append(in, Parameter(g, string(rune('a'+i)), s))
		}
		f := memory.frame(memory.names, vars)
		results := build(f, in)
		for _, r := range results {
			out = append(out, r.Shape())
		}
		for _, name := range memory.movingOf(memory.names) {
			results = append(results, f.tensor(name))
		}
		seen := map[*Node]bool{}
		var visit func(n *Node)
		visit = func(n *Node) {
			if seen[n] {
				return
			}
			seen[n] = true
			if n.Type() == NodeTypeConvGeneral {
				passes += 1. / 20
			}
			for _, i := range n.Inputs() {
				visit(i)
			}
		}
		for _, r := range results {
			visit(r)
		}
		return passes, out
	}
	images := shapes.Make(dtypes.Float32, c.Batch, 32, 32, 3)
	if m.Inner == nil {
		update, _ = trace(p.updateGraph, images)
		return 0, 0, update
	}
	context, state := trace(p.beginGraph, images, images)
	step, _ = trace(p.attackGraph, state...)
	update, _ = trace(p.updateGraph, state...)
	return context, step, update
}

// TestMACs: a run in phases is the mean of its epochs, and what is known by hand of one.
func TestMACs(t *testing.T) {
	c := Defaults("trades")
	c.Arch, c.Epochs = nn.Arch{Name: "resnet18", Width: 64, Classes: 10}, 10
	forward, err := c.Arch.MACs()
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, c Config, want float64) {
		t.Helper()
		got, err := c.MACs()
		if err != nil || math.Abs(got/float64(forward)-want) > 1e-9 {
			t.Errorf("%s: %g forward passes (%v), want %g", what, got/float64(forward), err, want)
		}
	}
	check("TRADES, PGD-10", c, 1+2*10+6)
	c.Attack.Steps = 7
	check("TRADES, PGD-7", c, 1+2*7+6)
	c.AWP.Gamma, c.AWP.Start = 0.005, 4
	check("TRADES with AWP from epoch 4 on", c, 1+2*7+6+6*6./10)
	c.AWP = AWPConfig{}
	c.RWP.Gamma = 0.01
	check("TRADES with RWP", c, 1+2*7+6+10*6)
	eff := Defaults("cure-eff")
	eff.Arch, eff.Epochs = c.Arch, 10
	check("CURE-Eff", eff, (4*3+6*(1+2*10+12))/10.)
	free := Defaults("free-at")
	free.Arch, free.Epochs = c.Arch, 1
	check("Free-AT", free, 8*3)
}
