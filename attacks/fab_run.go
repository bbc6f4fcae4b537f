package attacks

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// fabKey names the programs of all FABs that do alike: settings that do not matter to a program are zero.
type fabKey struct {
	program  string
	settings FAB
}

// prepare compiles the programs of the walk.
func (f FAB) prepare(e *engine) error {
	if _, err := f.mover(e); err != nil {
		return err
	}
	_, err := f.checker(e)
	return err
}

// mover is the program of a pass forward and backward and the move: from x, clean images, labels, and targets as unit
// vectors (which an untargeted search does not look at) to the next x, its distance from the clean image, in float32, as
// which the reference code compares it with eps, and marks.
func (f FAB) mover(e *engine) (*Exec, error) {
	f = f.filled()
	key := FAB{Ball: Ball{Norm: f.Ball.Norm}, Targets: min(f.Targets, 1), AlphaMax: f.AlphaMax, Eta: f.Eta}
	return e.prepareQuery(fabKey{"move", key}, "fab move", func(in []*Node) []*Node {
		clean, y, about, weights := in[1], in[2], in[3], in[4:]
		x := Identity(StopGradient(in[0]))
		logits := e.model.logits(weights, x)
		var value, grad *Node
		if f.Targets > 0 {
			value = lead(logits, y, GreaterThan(about, ZerosLike(about)))
			grad = Gradient(ReduceAllSum(value), x)[0]
		} else {
			value, grad = f.nearestLead(logits, y, x)
		}
		next := f.move(x, clean, value, grad)
		return []*Node{next, sizes(f.Ball.Norm, Sub(next, clean)), marks(logits, y, value, grad)}
	}, e.imageShape(), e.imageShape(), e.labelShape(), e.scoreShape())
}

// lead is z_k - z_y [B] for the class k that a mask [B, C] selects.
func lead(logits, y, mask *Node) *Node {
	return Sub(pick(logits, mask), pick(logits, labelMask("FAB", logits, y)))
}

// nearestLead is the lead, and its gradient by x, of the wrong class whose linearised boundary is the nearest. The classes
// of a row are taken in the order y+1, y+2, ..., modulo their number, so that the label costs no backward pass.
func (f FAB) nearestLead(logits, y, x *Node) (value, grad *Node) {
	classes := logits.Shape().Dim(-1)
	label := InsertAxes(ConvertDType(y, dtypes.Int32), -1)
	var distance *Node
	for k := 1; k < classes; k++ {
		class := AddScalar(label, float64(k))
		class = Where(LessThan(class, constant(class, float64(classes))), class, AddScalar(class, -float64(classes)))
		v := lead(logits, y, classMask(logits, class))
		g := Gradient(ReduceAllSum(v), x)[0]
		d := Div(Abs(v), AddScalar(sizes(dualNorm[f.Ball.Norm], g), smallestNorm))
		d = Where(IsFinite(d), d, boundless(d))
		if k == 1 {
			value, grad, distance = v, g, d
			continue
		}
		nearer := LessThan(d, distance)
		value, grad, distance = Where(nearer, v, value), wherever(nearer, g, grad), Where(nearer, d, distance)
	}
	return value, grad
}

// move is the next iterate, not looked at yet, from the value of the lead at x and its gradient. What is NaN or infinite
// counts as zero.
func (f FAB) move(x, clean, value, grad *Node) *Node {
	batch := x.Shape().Dim(0)
	both := func(a, b *Node) *Node { return Concatenate([]*Node{a, b}, 0) }
	first := func(ab *Node) *Node { return SliceAxis(ab, 0, AxisRange(0, batch)) }
	second := func(ab *Node) *Node { return SliceAxis(ab, 0, AxisRange(batch)) }

	w := finite(grad)
	b := Sub(sumImages(Mul(ConvertDType(w, dtypes.Float64), ConvertDType(x, dtypes.Float64))),
		perImage(ConvertDType(finite(value), dtypes.Float64)))
	from := ConvertDType(both(x, clean), dtypes.Float64)
	d := hyperplane{both(w, w), both(b, b)}.move(f.Ball.Norm, from)
	size := perImage(MaxScalar(ConvertDType(sizes(f.Ball.Norm, d), dtypes.Float64), 1e-8))
	alpha := MinScalar(Div(first(size), Add(first(size), second(size))), f.AlphaMax)
	ends := Add(from, MulScalar(d, f.Eta))
	next := Add(Mul(OneMinus(alpha), first(ends)), Mul(alpha, second(ends)))
	return ClipScalar(ConvertDType(next, x.DType()), 0, 1)
}

// checker is the program of a pass forward to look at the iterates: it pulls the misclassified ones back, and keeps those
// of them that are nearer than the best so far. From x, best, clean images, labels, and 1 where x is nearer than best, to
// the next x and best and marks.
func (f FAB) checker(e *engine) (*Exec, error) {
	f = f.filled()
	return e.prepareQuery(fabKey{"check", FAB{Beta: f.Beta}}, "fab check", func(in []*Node) []*Node {
		x, best, clean, y, nearer, weights := in[0], in[1], in[2], in[3], in[4], in[5:]
		_, seen := scored(e.model.logits(weights, x), y)
		wrong := marked(seen, markWrong)
		best = wherever(LogicalAnd(wrong, GreaterThan(nearer, ZerosLike(nearer))), x, best)
		return []*Node{wherever(wrong, Add(clean, MulScalar(Sub(x, clean), f.Beta)), x), best, seen}
	}, e.imageShape(), e.imageShape(), e.imageShape(), e.labelShape(), e.lossShape())
}

// boundaryWalk is FAB under way. A step is one iteration: a pass forward and backward, the move, and a pass forward to
// look at where it led.
//
// An iterate that is classified correctly is where the next gradient is taken, so that the look could come for free with
// it. It does not pay: on a robust ResNet-18 (Linf, all targets) 86% of the iterates are misclassified, hence pulled back,
// and would need a second gradient: 3.7 passes an iteration instead of 3.
type boundaryWalk struct {
	*lanes
	fab     FAB               // with its defaults
	state   []*tensors.Tensor // the iterates, and the nearest misclassified ones
	nearest []float32         // distances of these; infinite where there is none
}

func (f FAB) walk(l *lanes) walker {
	return &boundaryWalk{lanes: l, fab: f.filled(), nearest: make([]float32, l.size)}
}

// load puts the starts of fresh jobs into their rows.
func (w *boundaryWalk) load(ctx context.Context, rows []int) (err error) {
	if w.state == nil {
		w.state = []*tensors.Tensor{w.upload(make([]float32, len(w.x))), w.upload(make([]float32, len(w.x)))}
	}
	for _, row := range rows {
		w.nearest[row] = float32(math.Inf(1))
	}
	w.state[0], err = w.seat(ctx, w.fab.Ball, w.state[0], rows, func(row int, dst []float32) {
		if w.fab.scattered(w.jobs[row].run) {
			w.fab.start(dst, w.random(w.jobs[row]))
		}
	})
	return err
}

// step is one iteration in all rows.
func (w *boundaryWalk) step(ctx context.Context) ([]outcome, error) {
	far, err := w.advance(ctx)
	if err != nil {
		return nil, err
	}
	look := false
	for row, busy := range w.busy {
		if busy {
			w.steps[row]++
			// The last iterate matters only as a result.
			look = look || w.steps[row] < w.fab.Steps || w.counts(row, far[row])
		}
	}
	if look {
		if err := w.check(ctx, far); err != nil {
			return nil, err
		}
	}
	return w.leave()
}

// counts says whether an iterate so far away would be a result if it were misclassified.
func (w *boundaryWalk) counts(row int, far float32) bool {
	if w.fab.Minimal {
		return far < w.nearest[row]
	}
	return far <= float32(w.fab.Ball.Eps)
}

// found says whether a row has a result.
func (w *boundaryWalk) found(row int) bool {
	if w.fab.Minimal {
		return !math.IsInf(float64(w.nearest[row]), 1)
	}
	return w.nearest[row] <= float32(w.fab.Ball.Eps)
}

// advance moves the iterates and returns how far they are from the clean images then.
func (w *boundaryWalk) advance(ctx context.Context) ([]float32, error) {
	program, err := w.fab.mover(w.engine)
	if err != nil {
		return nil, err
	}
	given, err := w.donate(w.state[0])
	if err != nil {
		return nil, err
	}
	out, err := w.callNetwork(ctx, program, given[0], w.inputs.clean, w.inputs.labels, w.inputs.natural)
	if err != nil {
		return nil, err
	}
	w.state[0] = out[0]
	w.forwards += w.live()
	w.backwards += w.live() * w.fab.gradients(w.model.Classes)
	far, err := tensors.CopyFlatData[float32](out[1])
	if err != nil {
		return nil, fmt.Errorf("reading distances: %w", err)
	}
	if _, err := w.read(out[2]); err != nil {
		return nil, err
	}
	return far, free(out[1], out[2])
}

// check looks at the iterates, so far away from the clean images.
func (w *boundaryWalk) check(ctx context.Context, far []float32) error {
	program, err := w.fab.checker(w.engine)
	if err != nil {
		return err
	}
	nearer := w.uploadRows(func(row int) float64 { return float64(one(far[row] < w.nearest[row])) })
	next, marks, err := w.query(ctx, program, w.state, nearer)
	if err != nil {
		return err
	}
	w.state = next
	for row, busy := range w.busy {
		if busy && marks[row]&markWrong != 0 {
			w.nearest[row] = min(w.nearest[row], far[row])
		}
	}
	return nil
}

// leave makes outcomes of the jobs that have had their steps, or have a result that no other can better.
func (w *boundaryWalk) leave() (ended []outcome, err error) {
	var rows []int
	for row, busy := range w.busy {
		if busy && !w.fab.Minimal && !w.heeds(row) {
			w.nearest[row] = float32(math.Inf(1)) // refuted
		}
		if busy && (w.steps[row] == w.fab.Steps || !w.fab.Minimal && w.found(row)) {
			rows = append(rows, row)
		}
	}
	images, err := w.images(w.state[1], rows)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		adv, found := images[row], w.found(row)
		if !found {
			copy(adv, w.x[row*len(adv):])
		}
		ended = append(ended, outcome{row, adv, found})
	}
	return ended, nil
}

func (w *boundaryWalk) free() error { return free(w.state...) }
