package main

import (
	"fmt"
	"io"
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
	settings := map[string]attacks.PGD{}
	for _, attack := range list {
		if p, ok := attack.Method.(attacks.PGD); ok {
			settings[attack.Name] = p
		}
	}
	for _, result := range r.Attacks {
		p := settings[result.Name]
		fmt.Fprintf(t, "%s\t%s\t%.4g\t%d\t%.4g\t%.2f\t%.4g\t%d\t%d\t%.1f\t\n", result.Name, p.Ball.Norm, p.Ball.Eps, p.Steps, p.StepSize,
			100*result.RobustAccuracy, float64(result.MeanLoss), result.Forwards, result.Backwards, result.Seconds)
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

// progress shows how far an evaluation or a download is: one line that changes in a terminal, else a line for each stage
// and every half minute.
type progress struct {
	w        io.Writer
	terminal bool
	stage    string
	last     time.Time
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
	text := fmt.Sprintf("%s: %.0f%%", stage, 100*float64(s.Done)/float64(max(s.Total, 1)))
	if s.Attack != "clean" && s.Done < s.Total { // the last batch is not judged yet
		text += fmt.Sprintf(", %d of %d images robust so far", s.Robust, s.Of)
	}
	p.show(stage, s.Done == s.Total, text)
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
