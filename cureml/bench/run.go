package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Result is what Run measured; it marshals to the JSON that `cure bench` writes.
type Result struct {
	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	Rows     []Row             `json:"rows"`
}

// Row is one measured job.
type Row struct {
	Name    string `json:"name"`
	Arch    string `json:"arch"`
	Width   int    `json:"width"`
	Batch   int    `json:"batch"`
	Attack  int    `json:"attack_steps,omitempty"` // where it is not the task's own number
	Devices int    `json:"devices,omitempty"`
	Compute string `json:"compute,omitempty"` // of this project's convolutions, where it is not float32
	Shape   *Shape `json:"shape,omitempty"`   // of a convolution alone
	Peer    string `json:"peer,omitempty"`    // "" for this project

	Turns          int     `json:"turns"`            // that were timed
	SecondsMedian  float64 `json:"seconds_median"`   // of a turn
	SecondsBest    float64 `json:"seconds_best"`     // the fastest turn, which is what some other programs report
	ImagesPerS     float64 `json:"images_per_s"`     // images of a turn / SecondsMedian
	TFLOPS         float64 `json:"tflops,omitempty"` // of a step: 10¹² operations of its convolutions a second, to be set beside what the hardware can do
	CompileSeconds float64 `json:"compile_seconds"`  // of the first turn
	PeakBytes      int64   `json:"peak_bytes"`       // of the worker's resident memory; 0 where it is not known, as on GPUs
	// Speed is the median over rounds of a peer's seconds divided by this project's in the same round, by peer: above 1,
	// this project is quicker. Rows of peers have none.
	Speed map[string]float64 `json:"speed,omitempty"`
}

// Options are how Run measures.
type Options struct {
	// Rounds is how many turns of each job are timed, at least 1.
	Rounds int
	// Most ends the rounds of a group early, after one at least, when its jobs have taken that long; 0 means never. A
	// group whose first turns took half of it is not warmed up.
	Most time.Duration
	// Worker makes the command that calls [Work] with its standard input and file descriptor 3.
	Worker func(ctx context.Context) *exec.Cmd
	// Python runs the peers.
	Python string
	// Log gets a line per finished stage; nil for none.
	Log io.Writer
}

// Run measures groups of jobs. A job that fails ends the run with an error that names it.
func Run(ctx context.Context, groups [][]Job, opt Options) (*Result, error) {
	if opt.Rounds < 1 {
		return nil, fmt.Errorf("bench: %d rounds: want at least 1", opt.Rounds)
	}
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	r := &Result{Machine: Machine(), Versions: versions(), Rows: []Row{}}
	for _, jobs := range groups {
		if err := r.group(ctx, jobs, opt); ctx.Err() != nil {
			return nil, fmt.Errorf("bench: interrupted: %w", ctx.Err())
		} else if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// group measures jobs in turns.
func (r *Result) group(ctx context.Context, jobs []Job, opt Options) error {
	workers, firsts := make([]*worker, len(jobs)), make([]reply, len(jobs))
	var spent time.Duration
	turn := func(i int) (reply, error) {
		answer, err := workers[i].turn()
		if err != nil {
			return answer, fmt.Errorf("bench: %s: %w", jobs[i], err)
		}
		spent += time.Duration(answer.Seconds * float64(time.Second))
		return answer, nil
	}
	for i, j := range jobs {
		w, err := startWorker(ctx, j, opt)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", j, err)
		}
		defer w.stop()
		workers[i] = w
		r.about(j, w.about)
		if firsts[i], err = turn(i); err != nil {
			return err
		}
		fmt.Fprintf(opt.Log, "%s: first turn %.1f s\n", j, firsts[i].Seconds)
	}
	if opt.Most == 0 || spent < opt.Most/2 {
		for i := range jobs {
			if _, err := turn(i); err != nil {
				return err
			}
		}
	}
	seconds := make([][]float64, len(jobs))
	last := make([]reply, len(jobs))
	spent = 0
	for round := 0; round < opt.Rounds && (round == 0 || opt.Most == 0 || spent < opt.Most); round++ {
		for k := range jobs {
			i := (round + k) % len(jobs)
			var err error
			if last[i], err = turn(i); err != nil {
				return err
			}
			seconds[i] = append(seconds[i], last[i].Seconds)
		}
	}
	for i, j := range jobs {
		row := Row{Name: j.Name, Arch: j.Arch, Width: j.Width, Batch: j.Batch, Attack: j.Attack, Devices: j.Devices, Compute: j.Compute, Peer: j.Peer,
			Turns: len(seconds[i]), SecondsMedian: median(seconds[i]), SecondsBest: slices.Min(seconds[i]),
			CompileSeconds: firsts[i].Seconds, PeakBytes: last[i].Peak, Speed: speeds(jobs, seconds, i)}
		if j.Shape != (Shape{}) {
			row.Shape = &j.Shape
		}
		row.ImagesPerS = float64(last[i].Images) / row.SecondsMedian
		operations, err := j.operations()
		if err != nil {
			return fmt.Errorf("bench: %s: %w", j, err)
		}
		row.TFLOPS = operations * row.ImagesPerS / 1e12
		fmt.Fprintf(opt.Log, "%s: median %.4f s of %d turns, %.4f to %.4f\n", j, row.SecondsMedian, row.Turns, row.SecondsBest, slices.Max(seconds[i]))
		r.Rows = append(r.Rows, row)
	}
	return nil
}

// about notes what a worker says about its libraries and its device.
func (r *Result) about(j Job, said reply) {
	program := j.Peer
	if program == "" {
		program = "backend"
	}
	r.Versions[program] = said.Backend
	if d := said.Devices; d != "" && !strings.Contains(r.Machine, d) {
		r.Machine += ", " + d
	}
}

// speeds compares job i with its peers in the group, nil where there are none.
func speeds(jobs []Job, seconds [][]float64, i int) (speed map[string]float64) {
	for k, j := range jobs {
		peer := j.Peer
		if j.Peer = jobs[i].Peer; peer == "" || jobs[i] != j || jobs[i].Peer != "" {
			continue
		}
		ratios := make([]float64, len(seconds[i]))
		for round := range ratios {
			ratios[round] = seconds[k][round] / seconds[i][round]
		}
		if speed == nil {
			speed = map[string]float64{}
		}
		speed[peer] = median(ratios)
	}
	return speed
}

// median of at least one value; the mean of the two in the middle of an even number.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// worker is the process of one job.
type worker struct {
	cmd      *exec.Cmd
	commands io.WriteCloser
	replies  *os.File
	decode   *json.Decoder
	said     strings.Builder // its standard error
	about    reply
}

func startWorker(ctx context.Context, job Job, opt Options) (*worker, error) {
	command := opt.Worker
	if job.Peer != "" {
		p, err := findPeer(job.Peer)
		if err != nil {
			return nil, err
		}
		command = func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, opt.Python, "-c", p.program) }
	}
	w := &worker{cmd: command(ctx)}
	replies, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	w.replies, w.decode = replies, json.NewDecoder(replies)
	w.cmd.ExtraFiles, w.cmd.Stderr, w.cmd.WaitDelay = []*os.File{theirs}, &w.said, time.Second
	if w.commands, err = w.cmd.StdinPipe(); err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		replies.Close()
		return nil, err
	}
	theirs.Close()
	if w.about, err = w.ask(job); err != nil {
		w.stop()
	}
	return w, err
}

// turn lets the worker take one.
func (w *worker) turn() (reply, error) { return w.ask(struct{}{}) }

// ask sends a command and waits for its reply. A worker that died says why, as far as it is known.
func (w *worker) ask(command any) (answer reply, err error) {
	if err = json.NewEncoder(w.commands).Encode(command); err == nil {
		err = w.decode.Decode(&answer)
	}
	switch {
	case err != nil:
		return answer, w.epitaph(err)
	case answer.Error != "":
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}

// epitaph explains that the worker did not answer.
func (w *worker) epitaph(err error) error {
	w.commands.Close()
	if died := w.cmd.Wait(); died != nil {
		err = died
	}
	if said := strings.TrimSpace(w.said.String()); said != "" {
		first, _, _ := strings.Cut(said, "\n")
		return fmt.Errorf("its process ended: %w (%s)", err, first)
	}
	return fmt.Errorf("its process ended: %w", err)
}

// stop ends the worker; one that has ended already is fine.
func (w *worker) stop() {
	w.commands.Close()
	w.replies.Close()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}
