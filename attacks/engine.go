package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Model is the classifier under attack.
type Model struct {
	Backend compute.Backend
	// Weights are passed to every program that calls Logits, so that they are compiled once and live on the device.
	Weights []*tensors.Tensor
	// Logits maps images [B, H, W, C], float32 in [0, 1], to logits [B, Classes]. It must predict as the model is used
	// (running statistics, no dropout), image by image.
	Logits  func(weights []*Node, x *Node) *Node
	Classes int
	Image   [3]int // height, width, channels

	// Random takes the place of Logits for a model that draws random numbers when it predicts. They must come from keys,
	// uint32 [B, 2], of which each row has its own for each pass (KeyedUniform, KeyedNormal): then the verdicts of PGD and
	// APGD depend neither on the order of images nor on the batch size.
	Random func(weights []*Node, x, keys *Node) *Node
	// Forwards is how many passes decide what a random model predicts: an image is misclassified where more than half of
	// them are wrong (NaN logits are), and its logits and losses are their means. 0 means 10. The reference code of
	// AutoAttack lets one pass decide, so that luck breaks images: 1 does that.
	Forwards int
	// Adaptive says that the model optimises something when it predicts (its input, or its weights): a finding of Diagnose.
	Adaptive bool
}

// pixels is the number of values of one image.
func (m Model) pixels() int { return m.Image[0] * m.Image[1] * m.Image[2] }

// logits builds the graph of the model and checks what it returns. inputs are the last inputs of a program: the weights,
// and before them the keys of a random model. Losses are float32 even where a network computes in less.
func (m Model) logits(inputs []*Node, x *Node) *Node {
	var z *Node
	if m.Random != nil {
		z = m.Random(inputs[1:], x, inputs[0])
	} else {
		z = m.Logits(inputs, x)
	}
	want := []int{x.Shape().Dim(0), m.Classes}
	if z.Rank() != 2 || z.Shape().Dim(0) != want[0] || z.Shape().Dim(1) != want[1] || !z.DType().IsFloat() {
		exceptions.Panicf("the model's logits have shape %s, want floats %v", z.Shape(), want)
	}
	return ConvertDType(z, dtypes.Float32)
}

// goal is the loss that an attack maximises, as a key of compiled programs.
type goal struct {
	loss  string
	kappa float64
}

// Goals beside the losses of PGD.
const (
	lossTargeted = "dlr" + aimedSuffix // TargetedDLR, of targeted searches
	lossMargin   = "margin"            // -Margin
	lossExcess   = "excess"            // -excess of the tolerance kappa, of ALMA
)

// objective is the goal as a graph. natural are the clean logits; a targeted goal has the target there as a unit vector.
func (t goal) objective(logits, y, natural *Node) *Node {
	switch {
	case t.aimed():
		return t.towards(logits, y, natural)
	case t.loss == lossMargin:
		return Neg(Margin(logits, y))
	case t.loss == lossExcess:
		return Neg(excess(logits, y, t.kappa))
	}
	return PGD{Loss: t.loss, Kappa: t.kappa}.Objective(logits, y, natural)
}

// Marks of one image after one pass through the model, or-ed over the passes of an attack.
const (
	markWrong    int32 = 1 << iota // the prediction is not the label
	markNaN                        // NaN logits, or a NaN or infinite loss or gradient
	markZeroGrad                   // a gradient of exactly zero although the prediction is right
	markTarget                     // the prediction is the target; of returned images alone
	markSure                       // wrong by more than rounding can undo: searches for small perturbations end at a boundary
)

// surely is the margin of markSure, relative to the largest absolute logit.
const surely = 1e-6

// engine holds the compiled programs of one model at one batch shape. Programs are few and shared by all attacks: one
// forward pass, one gradient and one judge for each loss, and cheap updates without the network.
type engine struct {
	model     Model
	shapes    []shapes.Shape // of the model's weights, which a training run may have freed by its next evaluation
	size      int            // images in a batch, padding included
	forward   *Exec
	elsewhere *Exec // forward at another batch size, compiled when first used
	gradient  map[goal]*Exec
	judge     map[goal]*Exec
	update    map[any]*Exec
	sources   []*rand.Rand // of the keys of each row, where the model is random

	forwards, backwards int64 // passes over images so far, padding not counted
	skipped             int64 // forward passes that a search could do without, because it had made them before
	ticked              func(passes int)
}

func newEngine(model Model, size int) (*engine, error) {
	e := &engine{model: model, size: size, gradient: map[goal]*Exec{}, judge: map[goal]*Exec{}, update: map[any]*Exec{}}
	for _, w := range model.Weights {
		e.shapes = append(e.shapes, w.Shape())
	}
	e.ticked = func(int) {}
	var err error
	e.forward, err = e.compileNetwork("forward", func(in []*Node) []*Node {
		return []*Node{model.logits(in[1:], in[0])}
	}, e.imageShape())
	return e, err
}

func (e *engine) labelShape() shapes.Shape { return shapes.Make(dtypes.Int32, e.size) }

func (e *engine) lossShape() shapes.Shape { return shapes.Make(dtypes.Float32, e.size) }

func (e *engine) scoreShape() shapes.Shape {
	return shapes.Make(dtypes.Float32, e.size, e.model.Classes)
}

func (e *engine) imageShape() shapes.Shape {
	return shapes.Make(dtypes.Float32, e.size, e.model.Image[0], e.model.Image[1], e.model.Image[2])
}

// compile builds fn for inputs of the given shapes.
func (e *engine) compile(name string, fn func(in []*Node) []*Node, inputs ...shapes.Shape) (*Exec, error) {
	exec, err := NewExec(e.model.Backend, fn)
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	exec.WithName("attacks." + name)
	if _, err := exec.Compile(inputs...); err != nil {
		exec.Finalize()
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	return exec, nil
}

// compileNetwork is compile for programs whose inputs are followed by the weights, and before them the keys of a random
// model.
func (e *engine) compileNetwork(name string, fn func(in []*Node) []*Node, inputs ...shapes.Shape) (*Exec, error) {
	if e.model.Random != nil {
		inputs = append(inputs, keyShape(inputs[0].Dim(0)))
	}
	return e.compile(name, fn, append(inputs, e.shapes...)...)
}

// prepareJudge compiles the program that scores logits.
func (e *engine) prepareJudge(t goal) (err error) {
	if e.judge[t] != nil {
		return nil
	}
	e.judge[t], err = e.compile("judge "+t.loss, func(in []*Node) []*Node {
		losses := t.objective(in[0], in[1], in[2])
		return []*Node{losses, t.mark(marks(in[0], in[1], losses, nil), in[0], in[2])}
	}, e.scoreShape(), e.labelShape(), e.scoreShape())
	return err
}

// prepareGradient compiles the gradient of the goal with respect to the images.
func (e *engine) prepareGradient(t goal) (err error) {
	if e.gradient[t] != nil {
		return nil
	}
	e.gradient[t], err = e.compileNetwork("gradient "+t.loss, func(in []*Node) []*Node {
		adv, y, natural, weights := in[0], in[1], in[2], in[3:]
		var logits *Node
		losses, grad := ascent(adv, func(adv *Node) *Node {
			logits = e.model.logits(weights, adv)
			return t.objective(logits, y, natural)
		})
		return []*Node{grad, losses, t.mark(marks(logits, y, losses, grad), logits, natural)}
	}, e.imageShape(), e.labelShape(), e.scoreShape())
	return err
}

// prepareUpdate compiles a program without the network, unless one of that key exists, and returns it.
func (e *engine) prepareUpdate(key any, name string, fn func(in []*Node) []*Node, inputs ...shapes.Shape) (*Exec, error) {
	if exec := e.update[key]; exec != nil {
		return exec, nil
	}
	exec, err := e.compile(name, fn, inputs...)
	if err == nil {
		e.update[key] = exec
	}
	return exec, err
}

// marks is int32 [B] of what one pass showed; grad is nil where none was taken.
func marks(logits, y, losses, grad *Node) *Node {
	bit := func(condition *Node, mark int32) *Node {
		return MulScalar(ConvertDType(condition, dtypes.Int32), mark)
	}
	right := Correct(logits, y)
	bad := LogicalOr(anyNaN(logits), LogicalNot(IsFinite(losses)))
	all := Add(bit(LogicalNot(right), markWrong), bit(surelyWrong(logits, y), markSure))
	if grad != nil {
		flat := Reshape(grad, grad.Shape().Dim(0), -1)
		bad = LogicalOr(bad, ReduceLogicalOr(LogicalNot(IsFinite(flat)), -1))
		zero := ReduceLogicalAnd(Equal(flat, ZerosLike(flat)), -1)
		all = Add(all, bit(LogicalAnd(zero, right), markZeroGrad))
	}
	return Add(all, bit(bad, markNaN))
}

// surelyWrong is Bool [B]: whether another program for the same network, which rounds differently, finds the image
// misclassified too.
func surelyWrong(logits, y *Node) *Node {
	edge := MulScalar(ReduceMax(Abs(logits), -1), surely)
	clear := LessOrEqual(Margin(logits, y), Neg(edge))
	return LogicalAnd(LogicalNot(Correct(logits, y)), LogicalOr(clear, anyNaN(logits)))
}

// finalize frees the compiled programs.
func (e *engine) finalize() {
	free := func(exec *Exec) {
		if exec != nil { // compilation failed half-way
			exec.Finalize()
		}
	}
	free(e.forward)
	free(e.elsewhere)
	for _, programs := range []map[goal]*Exec{e.gradient, e.judge} {
		for _, exec := range programs {
			free(exec)
		}
	}
	for _, exec := range e.update {
		free(exec)
	}
}

// call runs a program, unless the evaluation was interrupted.
func (e *engine) call(ctx context.Context, exec *Exec, inputs ...any) ([]*tensors.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted: %w", err)
	}
	out, err := exec.Call(inputs...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// callNetwork is call for programs that compileNetwork made, with the next keys.
func (e *engine) callNetwork(ctx context.Context, exec *Exec, inputs ...any) ([]*tensors.Tensor, error) {
	return e.callWithKeys(ctx, exec, e.drawKeys(), inputs...)
}

// callWithKeys is callNetwork with keys that were drawn before.
func (e *engine) callWithKeys(ctx context.Context, exec *Exec, drawn []uint32, inputs ...any) ([]*tensors.Tensor, error) {
	var keys *tensors.Tensor
	if e.model.Random != nil {
		keys = tensors.FromFlatDataAndDimensions(drawn, len(drawn)/2, 2)
		inputs = append(inputs, keys)
	}
	for _, w := range e.model.Weights {
		inputs = append(inputs, w)
	}
	out, err := e.call(ctx, exec, inputs...)
	if err != nil {
		return nil, err
	}
	return out, free(keys)
}
