package attacks

import (
	"context"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// deepfoolPush is added to the distance of a step, so that it arrives in spite of rounding (foolbox and the authors'
// code), in pixel units.
const deepfoolPush = 1e-4

// What the step program does with a row: planStay leaves it, planWalk moves it unless its label has changed, planEnter
// puts the clean image in first.
const (
	planStay = iota
	planWalk
	planEnter
)

// deepfoolKey names the step program of all DeepFools that walk alike.
type deepfoolKey struct {
	norm      Norm
	overshoot float64
	rivals    int
}

// prepare compiles the programs of the walk.
func (d DeepFool) prepare(e *engine) error {
	if err := e.prepareJudge(d.goal()); err != nil {
		return err
	}
	if _, err := segmentProgram(e); err != nil {
		return err
	}
	_, err := d.stepper(e)
	return err
}

// stepper is the program of a pass: one forward, one backward for each rival class, and the move.
func (d DeepFool) stepper(e *engine) (*Exec, error) {
	key := deepfoolKey{d.Ball.Norm, d.Overshoot, d.rivals(e.model.Classes)}
	if exec := e.update[key]; exec != nil {
		return exec, nil
	}
	exec, err := e.compileNetwork("deepfool step", func(in []*Node) []*Node {
		x, total, clean, y, rivals, plan, weights := in[0], in[1], in[2], in[3], in[4], in[5], in[6:]
		fresh := Equal(plan, MulScalar(OnesLike(plan), planEnter))
		x, total = wherever(fresh, clean, x), wherever(fresh, ZerosLike(total), total)

		leaf := Identity(StopGradient(x))
		logits := e.model.logits(weights, leaf)
		distance, normal := d.nearest(logits, y, rivals, leaf)
		marks := marks(logits, y, Neg(Margin(logits, y)), normal)

		length := ConvertDType(AddScalar(distance, deepfoolPush), x.DType())
		further := Add(total, Mul(d.Ball.Direction(normal), length))
		moved := ClipScalar(Add(clean, MulScalar(further, 1+d.Overshoot)), 0, 1)
		walks := LogicalAnd(GreaterThan(plan, ZerosLike(plan)), LogicalNot(marked(marks, markSure)))
		return []*Node{wherever(walks, moved, x), wherever(walks, further, total), marks}
	}, e.imageShape(), e.imageShape(), e.imageShape(), e.labelShape(), d.rivalShape(e), e.labelShape())
	if err == nil {
		e.update[key] = exec
	}
	return exec, err
}

func (d DeepFool) rivalShape(e *engine) shapes.Shape {
	return shapes.Make(dtypes.Int32, e.size, d.rivals(e.model.Classes))
}

// nearest is the distance to the nearest boundary of the linearisation at leaf, float64 [B, 1, 1, 1], and the gradient
// towards it. Both are zero where no class has a gradient. rivals are classes [B, n], the label not among them.
func (d DeepFool) nearest(logits, y, rivals, leaf *Node) (distance, normal *Node) {
	own := pick(logits, labelMask("DeepFool", logits, y))
	normal = ZerosLike(leaf)
	infinity := Infinity(leaf.Graph(), dtypes.Float64, 1)
	distance = BroadcastToShape(infinity, lengths(leaf).Shape())
	for k := range rivals.Shape().Dim(1) {
		f := Sub(pick(logits, classMask(logits, SliceAxis(rivals, -1, AxisElem(k)))), own)
		w := finite(Gradient(ReduceAllSum(f), leaf)[0])
		slope := lengths(w)
		if d.Ball.Norm == Linf {
			slope = sumImages(ConvertDType(Abs(w), dtypes.Float64))
		}
		gap := InsertAxes(ConvertDType(Abs(f), dtypes.Float64), -1, -1, -1)
		away := Where(GreaterThan(slope, MulScalar(OnesLike(slope), smallestNorm)), Div(gap, slope), BroadcastToShape(infinity, slope.Shape()))
		nearer := LessThan(away, distance)
		distance = Where(nearer, away, distance)
		normal = Where(BroadcastToShape(nearer, w.Shape()), w, normal)
	}
	return finite(distance), normal
}

// deepfoolWalk is DeepFool under way. A row that has changed its label, or spent its steps, waits until half of the rows
// have come that far: their bisections need forward passes alone.
type deepfoolWalk struct {
	*lanes
	deepfool DeepFool
	x, total *tensors.Tensor
	order    []int32 // the rivals of each row
	rivals   *tensors.Tensor
	fresh    []bool
	line     segment
}

func (d DeepFool) walk(l *lanes) walker {
	return &deepfoolWalk{
		lanes: l, deepfool: d, order: make([]int32, d.rivalShape(l.engine).Size()), fresh: make([]bool, l.size), line: newSegment(l),
	}
}

func (w *deepfoolWalk) load(_ context.Context, rows []int) error {
	if w.x == nil {
		w.x, w.total = w.upload(make([]float32, len(w.lanes.x))), w.upload(make([]float32, len(w.lanes.x)))
	}
	classes := w.model.Classes
	n := w.deepfool.rivals(classes)
	for _, row := range rows {
		w.fresh[row] = true
		others := slices.DeleteFunc(ranked(w.about[row*classes:(row+1)*classes]), func(k int) bool { return k == int(w.y[row]) })
		for k, class := range others[:n] {
			w.order[row*n+k] = int32(class)
		}
	}
	if err := free(w.rivals); err != nil {
		return err
	}
	w.rivals = tensors.FromFlatDataAndDimensions(slices.Clone(w.order), w.size, n)
	return nil
}

// step makes the kind of pass that most rows wait for.
func (w *deepfoolWalk) step(ctx context.Context) ([]outcome, error) {
	var walking int
	for row, busy := range w.busy {
		if busy && !w.line.in(row) {
			walking++
		}
	}
	if w.line.rows() >= max(walking, 1) {
		return w.line.step(ctx, w.deepfool.goal(), w.x)
	}
	return w.advance(ctx, walking)
}

// advance is one pass and one move of the rows that walk.
func (w *deepfoolWalk) advance(ctx context.Context, walking int) ([]outcome, error) {
	plan := make([]int32, w.size)
	for row, busy := range w.busy {
		switch {
		case busy && w.fresh[row]:
			plan[row], w.fresh[row] = planEnter, false
		case busy && !w.line.in(row):
			plan[row] = planWalk
		}
	}
	program, err := w.deepfool.stepper(w.engine)
	if err != nil {
		return nil, err
	}
	given, err := w.donate(w.x, w.total)
	if err != nil {
		return nil, err
	}
	planned := tensors.FromValue(plan)
	out, err := w.callNetwork(ctx, program, append(given, w.inputs.clean, w.inputs.labels, w.rivals, planned)...)
	if err != nil {
		return nil, err
	}
	w.forwards += int64(walking)
	w.backwards += int64(walking * w.deepfool.rivals(w.model.Classes))
	w.x, w.total = out[0], out[1]
	marks, err := w.read(out[2])
	if err != nil {
		return nil, err
	}
	var changed []int
	for row := range w.size {
		if plan[row] == planStay {
			continue
		}
		w.steps[row]++
		switch {
		case marks[row]&markSure != 0 && w.deepfool.Refine == 0:
			changed = append(changed, row)
		case marks[row]&markSure != 0:
			w.line.enter(row, true, w.deepfool.Refine)
		case w.steps[row] == w.deepfool.Steps:
			w.line.enter(row, false, w.deepfool.Refine)
		}
	}
	images, err := w.images(w.x, changed)
	if err != nil {
		return nil, err
	}
	var ended []outcome
	for _, row := range changed {
		ended = append(ended, outcome{row, images[row], true})
	}
	return ended, free(out[2], planned)
}

func (w *deepfoolWalk) free() error { return free(w.x, w.total, w.rivals) }
