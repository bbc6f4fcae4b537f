package attacks

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
)

// DefaultBatch is the batch size where Options has none. On two CPU cores 44 rows run about as many images a second as 64 or 128
// and leave fewer idle when the last images of an attack are in them.
const DefaultBatch = 44

// Options are the settings of an evaluation that are not an attack's.
type Options struct {
	Batch int   // rows of the compiled programs: images taken at a time, at most; 0 means DefaultBatch
	Seed  int64 // root of all random numbers
	// Live is the number of rows of a program in use, at most; 0 means all. Verdicts do not depend on it: the programs are
	// the same. What is in work when an evaluation is killed is lost, so that a smaller number saves more often.
	Live int
	// Index numbers the images for their random numbers; nil means 0, 1, 2, ... With record numbers of the data set, a
	// part of it gets the same verdicts as the whole.
	Index   []int
	KeepAdv bool // return the adversarial images
	// State names a file that keeps what the evaluation has found so far, adversarial images included. If it exists, the
	// evaluation goes on from there, with the same verdicts as without the interruption; a file of another model, other
	// images, attacks or settings is refused. Models are told apart by their weights and by the clean logits of the first
	// images, to rounding, not by their gradients. "" keeps none.
	State    string
	Targets  []int32        // the classes that attacks with GivenClass aim at, one per image and never its label
	Progress func(Progress) // called after every step, on the goroutine of Evaluate; nil for none
}

// Progress says how far an evaluation is.
type Progress struct {
	Attack      string // "clean" before the first
	Run, Runs   int    // run (restart) of the attack, from 1
	Done, Total int    // images times steps within the run
	Robust, Of  int    // images that the attack has not broken so far, of all
}

// Evaluate attacks a model's predictions for images [N, H, W, C], uint8, which the model sees as float32(v)/255, and
// labels [N].
//
// Each attack works on its own on all images that are classified correctly; the others count as broken without one. In
// each of its runs from different starts it works on those that it has not broken. An image counts as broken only if a
// forward pass over exactly the float32 image returned is wrong (a NaN logit is) and that image lies in the ball, to
// eps (1+1e-6) + 1e-7, and in the pixel box. Random numbers are keyed by seed, attack, image and run: verdicts do not
// depend on the order of images, and on the batch size only as far as the backend's rounding does.
//
// The error names the first invalid input, or what failed in the backend; if ctx ends, it wraps ctx.Err().
func Evaluate(ctx context.Context, model Model, images []uint8, labels []int32, list []Attack, opt Options) (*Report, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	if err := checkRequest(model, images, labels, list, opt); err != nil {
		return nil, err
	}
	if opt.Batch == 0 {
		opt.Batch = DefaultBatch
	}
	ev, err := NewEvaluator(model, min(opt.Batch, len(labels)))
	if err != nil {
		return nil, err
	}
	defer ev.Close()
	return ev.Evaluate(ctx, nil, images, labels, list, opt)
}

// evaluation is the state of Evaluate.
type evaluation struct {
	*engine
	images []uint8
	labels []int32
	opt    Options
	state  *state

	clean   Flags
	natural []float32 // clean logits [N, Classes]
	results []*Result
	bad     int // clean images with NaN logits or an infinite loss
}

// cleanGoal judges clean images; their loss is not reported.
var cleanGoal = goal{loss: "ce"}

// measureClean fills clean and natural.
func (v *evaluation) measureClean(ctx context.Context) error {
	if err := v.prepareJudge(cleanGoal); err != nil {
		return err
	}
	v.clean = make(Flags, len(v.labels))
	v.natural = make([]float32, len(v.labels)*v.model.Classes)
	for rows := range slices.Chunk(v.all(), v.size) {
		b := v.batch(rows)
		now, err := v.decide(ctx, cleanGoal, b, "clean", make([]int, len(rows)), func() (*tensors.Tensor, error) { return v.scores(ctx, b, b.clean) })
		if err != nil {
			return err
		}
		for row, i := range rows {
			copy(v.natural[i*v.model.Classes:(i+1)*v.model.Classes], now.scores[row*v.model.Classes:])
			v.clean[i] = now.marks[row]&markWrong == 0
			if now.marks[row]&markNaN != 0 {
				v.bad++
			}
		}
		if err := b.free(); err != nil {
			return err
		}
		v.opt.Progress(Progress{Attack: "clean", Run: 1, Runs: 1, Done: rows[len(rows)-1] + 1, Total: len(v.labels), Of: len(v.labels)})
	}
	return nil
}

// run carries out one attack.
func (v *evaluation) run(ctx context.Context, a Attack) error {
	if err := v.prepareJudge(a.Method.goal()); err != nil {
		return err
	}
	if err := a.Method.prepare(v.engine); err != nil {
		return err
	}
	t := &trial{evaluation: v, attack: a, key: a.Name, began: time.Now(), result: &Result{Name: a.Name, RobustFlags: slices.Clone(v.clean)}}
	if err := t.begin(ctx); err != nil {
		return err
	}
	if err := t.carryOut(ctx); err != nil {
		return err
	}
	t.finish()
	v.results = append(v.results, t.result)
	return nil
}

// all is every position.
func (v *evaluation) all() []int {
	rows := make([]int, len(v.labels))
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// batch gathers the images at some positions, at most as many as the programs take.
func (v *evaluation) batch(rows []int) *batch {
	d, classes := v.model.pixels(), v.model.Classes
	b := &batch{images: rows, x: make([]float32, v.size*d), marks: make([]int32, len(rows))}
	labels, natural := make([]int32, v.size), make([]float32, v.size*classes)
	for row := range v.size {
		i := rows[0]
		if row < len(rows) {
			i = rows[row]
		}
		v.pixelsOf(i, b.x[row*d:(row+1)*d])
		labels[row] = v.labels[i]
		copy(natural[row*classes:], v.natural[i*classes:(i+1)*classes])
	}
	b.clean = v.upload(b.x)
	b.labels = tensors.FromValue(labels)
	b.natural = tensors.FromFlatDataAndDimensions(natural, v.scoreShape().Dimensions...)
	return b
}

// pixelsOf writes image i as the model sees it.
func (v *evaluation) pixelsOf(i int, dst []float32) {
	for k, value := range v.images[i*len(dst) : (i+1)*len(dst)] {
		dst[k] = float32(value) / 255
	}
}

// index is the number of image i in the random streams.
func (v *evaluation) index(i int) int {
	if v.opt.Index == nil {
		return i
	}
	return v.opt.Index[i]
}

// streams gives the random source of each row of a batch.
func (v *evaluation) streams(attack string, rows []int, run int) func(row int) *rand.Rand {
	return func(row int) *rand.Rand { return stream(v.opt.Seed, attack, v.index(rows[row]), run) }
}

// report puts the results together.
func (v *evaluation) report(list []Attack) *Report {
	r := &Report{N: len(v.labels), Seed: v.opt.Seed, Clean: Clean{Flags: v.clean, NaN: v.bad}, Attacks: v.results}
	r.conclude(list)
	return r
}
