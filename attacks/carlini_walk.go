package attacks

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// attempt is where one image is in its search for c or tau.
type attempt struct {
	c      float64
	step   int     // passes since the attempt began
	last   float64 // loss at the last look
	number int     // L2: attempts made; Linf: times that the steps of tau were made finer

	low, high float64 // L2: largest c that failed and smallest that succeeded
	found     bool    // L2: the attempt has succeeded

	tau, factor float64 // Linf
	solvedC     float64 // Linf: c of the last success
	smallest    float64 // Linf: smallest distance found
}

// passed is what a pass showed about one image.
type passed struct {
	loss, distance float64
	success        bool // adversarial by the margin asked for
}

// sequel is what follows a pass.
type sequel int

// In rising order of what the program of verdicts sets back: nothing, the moments of Adam, the iterate too, everything.
const (
	goOn sequel = iota
	freshMoments
	startAgain
	enterJob
	finished
)

// attempts is the schedule of c and tau.
type attempts interface {
	first() attempt
	after(a *attempt, p passed) sequel
}

// idle counts a pass, and says whether the attempt is over: its steps are spent, or the loss has not fallen in the last
// tenth of them. The loss before any step is no measure: Adam's first steps are long.
func (a *attempt) idle(loss float64, steps int) (over bool) {
	if a.step > 0 && a.step%max(steps/10, 1) == 0 {
		over = loss > .9999*a.last
		a.last = loss
	}
	a.step++
	return over || a.step == steps
}

// adamWalk is such an attack under way.
type adamWalk struct {
	*lanes
	adam     adam
	schedule attempts
	state    []*tensors.Tensor // in the order of adamState.fields
	at       []attempt
	success  []bool // of any pass of the job
}

func newAdamWalk(l *lanes, a adam, schedule attempts) *adamWalk {
	return &adamWalk{lanes: l, adam: a, schedule: schedule, at: make([]attempt, l.size), success: make([]bool, l.size)}
}

func (w *adamWalk) load(ctx context.Context, rows []int) error {
	if w.state == nil {
		for range 5 {
			w.state = append(w.state, w.upload(make([]float32, len(w.x))))
		}
		w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
	}
	verdicts := make([]int32, w.size)
	for _, row := range rows {
		w.at[row], w.success[row] = w.schedule.first(), false
		verdicts[row] = int32(enterJob)
	}
	return w.begin(ctx, verdicts)
}

// begin carries out verdicts.
func (w *adamWalk) begin(ctx context.Context, verdicts []int32) error {
	program, err := w.adam.beginner(w.engine)
	if err != nil {
		return err
	}
	decided := tensors.FromValue(verdicts)
	if _, err := w.run(ctx, program, w.inputs.clean, decided); err != nil {
		return err
	}
	return free(decided)
}

// run gives the state to a program, takes it back, and returns what else the program does.
func (w *adamWalk) run(ctx context.Context, program *Exec, inputs ...any) ([]*tensors.Tensor, error) {
	given, err := w.donate(w.state...)
	if err != nil {
		return nil, err
	}
	out, err := w.call(ctx, program, append(given, inputs...)...)
	if err != nil {
		return nil, err
	}
	n := len(w.state)
	w.state = out[:n:n]
	return out[n:], nil
}

// step is one pass in all rows.
func (w *adamWalk) step(ctx context.Context) ([]outcome, error) {
	w.inputs.images = make([]int, w.live()) // what the pass counts as
	now, err := w.ascend(ctx, w.adam.goal(), &w.inputs, w.state[1])
	if err != nil {
		return nil, err
	}
	passed, err := w.advance(ctx, now)
	if err != nil {
		return nil, err
	}
	var over []int
	verdicts, again := make([]int32, w.size), false
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		w.steps[row]++
		w.success[row] = w.success[row] || passed[row].success
		switch v := w.schedule.after(&w.at[row], passed[row]); v {
		case goOn:
		case finished:
			over = append(over, row)
		default:
			verdicts[row], again = int32(v), true
		}
	}
	images, err := w.images(w.state[4], over)
	if err != nil {
		return nil, err
	}
	var ended []outcome
	for _, row := range over {
		ended = append(ended, outcome{row, images[row], w.success[row]})
	}
	if again {
		return ended, w.begin(ctx, verdicts)
	}
	return ended, nil
}

// advance runs the step program and uses up the pass.
func (w *adamWalk) advance(ctx context.Context, now pass) ([]passed, error) {
	marks, err := w.read(now.marks)
	if err != nil {
		return nil, err
	}
	hinges, err := tensors.CopyFlatData[float32](now.losses)
	if err != nil {
		return nil, fmt.Errorf("reading losses: %w", err)
	}
	plan := make([]float32, w.size*adamColumns)
	for row, a := range w.at {
		p, t := plan[row*adamColumns:(row+1)*adamColumns], float64(a.step+1)
		p[adamC], p[adamTau] = float32(a.c), float32(a.tau)
		p[adamMean], p[adamSquare] = float32(1/(1-math.Pow(adamBeta1, t))), float32(1/(1-math.Pow(adamBeta2, t)))
	}
	program, err := w.adam.mover(w.engine)
	if err != nil {
		return nil, err
	}
	moments := tensors.FromFlatDataAndDimensions(plan, w.size, adamColumns)
	out, err := w.run(ctx, program, w.inputs.clean, now.grad, now.losses, now.marks, moments)
	if err != nil {
		return nil, err
	}
	losses, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return nil, fmt.Errorf("reading losses: %w", err)
	}
	distances, err := tensors.CopyFlatData[float32](out[1])
	if err != nil {
		return nil, fmt.Errorf("reading distances: %w", err)
	}
	result := make([]passed, w.size)
	for row := range result {
		result[row] = passed{float64(losses[row]), float64(distances[row]), marks[row]&markSure != 0 && hinges[row] >= 0}
	}
	return result, free(now.grad, now.losses, now.marks, moments, out[0], out[1])
}

func (w *adamWalk) free() error { return free(w.state...) }
