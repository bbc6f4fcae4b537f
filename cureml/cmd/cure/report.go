package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// printReport shows a report as a table, accuracies in percent.
func printReport(w io.Writer, r *attacks.Report, a nn.Arch, set *data.Set, list []attacks.Attack) {
	fmt.Fprintf(w, "%s (%s) on %s, %s records %d:%d, %d images, seed %d\n\n", r.Weights, a, set.Name, set.Split, r.Records[0], r.Records[1], r.N, r.Seed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "attack\tnorm\teps\tsteps\tstep size\taccuracy %\tmean loss\tforwards\tbackwards\tseconds\t")
	fmt.Fprintf(t, "clean\t\t\t\t\t%.2f\t\t\t\t\t\n", 100*r.Clean.Accuracy)
	methods := map[string]attacks.Method{}
	for _, attack := range list {
		methods[attack.Name] = attack.Method
	}
	for _, result := range r.Attacks {
		printResult(t, result, methods[result.Name])
	}
	t.Flush()
	if len(r.Attacks) == 0 {
		return
	}
	fmt.Fprintf(w, "\nrobust accuracy %.2f %%", 100*r.RobustAccuracy)
	if len(r.Attacks) > 1 {
		fmt.Fprintf(w, " (all attacks together)")
	}
	fmt.Fprintf(w, ", natural-robust ratio %.4f\n", attacks.NRR(r.Clean.Accuracy, r.RobustAccuracy))
}

// printResult is the line of an attack, with one for each stage of an ensemble and one for what a search for smallest
// perturbations found.
func printResult(t io.Writer, r *attacks.Result, m attacks.Method) {
	var steps, stepSize, loss string
	if p, ok := m.(attacks.PGD); ok {
		steps, stepSize = fmt.Sprint(p.Steps), fmt.Sprintf("%.4g", p.StepSize)
	}
	if mean := float64(r.MeanLoss); !math.IsNaN(mean) {
		loss = fmt.Sprintf("%.4g", mean)
	}
	ball := m.Budget()
	fmt.Fprintf(t, "%s\t%s\t%.4g\t%s\t%s\t%.2f\t%s\t%d\t%d\t%.1f\t\n", r.Name, ball.Norm, ball.Eps, steps, stepSize,
		100*r.RobustAccuracy, loss, r.Forwards, r.Backwards, r.Seconds)
	if e, ok := m.(attacks.Ensemble); ok {
		for i, stage := range r.Stages {
			printResult(t, stage, e.Stages[i].Method)
		}
	}
	if r.MedianDistance != nil {
		fmt.Fprintf(t, "median %s distance\t\t%.4g\t\t\t\t\t\t\t\t\n", ball.Norm, float64(*r.MedianDistance))
	}
}

// progress shows how far an evaluation or a download is: one line that changes in a terminal, else a line for each stage
// and every half minute.
type progress struct {
	w        io.Writer
	terminal bool
	stage    string
	last     time.Time
	began    time.Time // of the stage, and how far it was then
	from     float64
}

func newProgress(f *os.File) *progress {
	return &progress{w: f, terminal: term.IsTerminal(int(f.Fd()))}
}

// attack is for attacks.Options.
func (p *progress) attack(s attacks.Progress) {
	stage := s.Attack
	if s.Runs > 1 {
		stage = fmt.Sprintf("%s run %d/%d", s.Attack, s.Run, s.Runs)
	}
	share := float64(s.Done) / float64(max(s.Total, 1))
	text := fmt.Sprintf("%s: %.0f%%%s", stage, 100*share, p.left(stage, share))
	if s.Attack != "clean" && s.Done < s.Total { // the last batch is not judged yet
		text += fmt.Sprintf(", %d of %d images robust so far", s.Robust, s.Of)
	}
	p.show(stage, s.Done == s.Total, text)
}

// left is the time that the stage will take still, going by its steps so far.
func (p *progress) left(stage string, share float64) string {
	if stage != p.stage || share < p.from {
		p.began, p.from = time.Now(), share
	}
	if share <= p.from || share >= 1 || time.Since(p.began) < 2*time.Second {
		return ""
	}
	rest := time.Duration(float64(time.Since(p.began)) * (1 - share) / (share - p.from))
	return fmt.Sprintf(", at most %s left", rest.Round(time.Second))
}

// download is for data.Download.
func (p *progress) download(done, total int64) {
	p.show("download", done == total, fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(total)/1e6))
}

func (p *progress) show(stage string, finished bool, text string) {
	pause := 30 * time.Second
	if p.terminal {
		pause = 200 * time.Millisecond
	}
	if p.last.IsZero() {
		p.last = time.Now()
	}
	if !finished && time.Since(p.last) < pause && (!p.terminal || stage == p.stage) {
		return
	}
	p.stage, p.last = stage, time.Now()
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(p.w, text)
	}
}

// end leaves the changing line of a terminal.
func (p *progress) end() {
	if p.terminal && p.stage != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
