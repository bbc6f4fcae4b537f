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
	Name           string  `json:"name"`
	Arch           string  `json:"arch"`
	Width          int     `json:"width"`
	Batch          int     `json:"batch"`
	SecondsMedian  float64 `json:"seconds_median"`  // of one step
	SecondsBest    float64 `json:"seconds_best"`    // the fastest step, which is what some other programs report
	ImagesPerS     float64 `json:"images_per_s"`    // Batch / SecondsMedian
	CompileSeconds float64 `json:"compile_seconds"` // of the first step
	PeakBytes      int64   `json:"peak_bytes"`      // of the worker's resident memory; 0 where it is not known, as on GPUs
}

// Options are how Run measures.
type Options struct {
	// Steps are the timed ones of each job, at least 1.
	Steps int
	// Worker makes the command that calls [Work] with its standard input and file descriptor 3.
	Worker func(ctx context.Context) *exec.Cmd
	// Log gets a line per finished stage; nil for none.
	Log io.Writer
}

// Run measures the jobs. A job that fails ends the run with an error that names it.
func Run(ctx context.Context, jobs []Job, opt Options) (*Result, error) {
	if opt.Steps < 1 {
		return nil, fmt.Errorf("bench: %d steps: want at least 1", opt.Steps)
	}
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	r := &Result{Machine: Machine(), Versions: versions(), Rows: []Row{}}
	for len(jobs) > 0 {
		n := 1
		for n < len(jobs) && jobs[n].Width == jobs[0].Width && jobs[n].Batch == jobs[0].Batch {
			n++
		}
		if err := r.group(ctx, jobs[:n], opt); ctx.Err() != nil {
			return nil, fmt.Errorf("bench: interrupted: %w", ctx.Err())
		} else if err != nil {
			return nil, err
		}
		jobs = jobs[n:]
	}
	return r, nil
}

// group measures jobs in turns.
func (r *Result) group(ctx context.Context, jobs []Job, opt Options) error {
	workers := make([]*worker, len(jobs))
	rows := make([]Row, len(jobs))
	seconds := make([][]float64, len(jobs))
	for i, j := range jobs {
		w, err := startWorker(ctx, j, opt)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", j, err)
		}
		defer w.stop()
		workers[i] = w
		first, err := w.step()
		if err == nil {
			_, err = w.step()
		}
		if err != nil {
			return fmt.Errorf("bench: %s: %w", j, err)
		}
		r.Versions["backend"] = w.about.Backend
		if d := w.about.Devices; d != "" && !strings.Contains(r.Machine, d) {
			r.Machine += ", " + d
		}
		rows[i] = Row{Name: j.Name, Arch: j.Arch, Width: j.Width, Batch: j.Batch, CompileSeconds: first.Seconds}
		fmt.Fprintf(opt.Log, "%s: first step %.1f s\n", j, first.Seconds)
	}
	for round := range opt.Steps {
		for k := range jobs {
			i := (round + k) % len(jobs)
			done, err := workers[i].step()
			if err != nil {
				return fmt.Errorf("bench: %s: %w", jobs[i], err)
			}
			seconds[i] = append(seconds[i], done.Seconds)
			rows[i].PeakBytes = done.Peak
		}
	}
	for i := range rows {
		rows[i].SecondsMedian, rows[i].SecondsBest = median(seconds[i]), slices.Min(seconds[i])
		rows[i].ImagesPerS = float64(rows[i].Batch) / rows[i].SecondsMedian
		fmt.Fprintf(opt.Log, "%s: median %.4f s of %d steps, %.4f to %.4f\n", jobs[i], rows[i].SecondsMedian, len(seconds[i]),
			rows[i].SecondsBest, slices.Max(seconds[i]))
	}
	r.Rows = append(r.Rows, rows...)
	return nil
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
	w := &worker{cmd: opt.Worker(ctx)}
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

// step lets the worker run one step.
func (w *worker) step() (reply, error) { return w.ask(struct{}{}) }

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
