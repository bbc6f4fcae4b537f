package cureml

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// means are the running sums of an interval's numbers.
type means struct {
	Count int                `json:"count,omitempty"`
	Sums  map[string]float64 `json:"sums,omitempty"`
}

func (m *means) add(names []string, values []float32) {
	if m.Sums == nil {
		m.Sums = map[string]float64{}
	}
	for i, name := range names {
		m.Sums[name] += float64(values[i])
	}
	m.Count++
}

// take returns the means as a line of metrics.jsonl, nil where there are none, and starts a new interval.
func (m *means) take() map[string]any {
	if m.Count == 0 {
		return nil
	}
	line := map[string]any{}
	for name, sum := range m.Sums {
		line[name] = sum / float64(m.Count)
	}
	*m = means{}
	return line
}

// display shows progress: a bar with ETA, images/s and the current losses where out is a terminal, one line per interval
// otherwise.
type display struct {
	out      io.Writer
	cfg      Config
	perEpoch int
	bar      *progressbar.ProgressBar
}

func newDisplay(out io.Writer, cfg Config, perEpoch int) *display {
	d := &display{out: out, cfg: cfg, perEpoch: perEpoch}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		d.bar = progressbar.NewOptions(cfg.Epochs*perEpoch*cfg.Batch, progressbar.OptionSetWriter(out),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("images"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionThrottle(200e6))
	}
	return d
}

// step moves the bar.
func (d *display) step(step int, names []string, values []float32) {
	if d.bar == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d/%d", (step-1)/d.perEpoch+1, d.cfg.Epochs)
	for i := range min(3, len(names)) {
		fmt.Fprintf(&b, " %s %.3f", names[i], values[i])
	}
	d.bar.Describe(b.String())
	_ = d.bar.Set(step * d.cfg.Batch)
}

// line shows a line of metrics.jsonl.
func (d *display) line(line map[string]any) {
	if d.out == nil || d.bar != nil && line["kind"] == "train" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s step %d/%d", d.cfg.Method, line["kind"], line["step"], d.cfg.Epochs*d.perEpoch)
	for _, k := range shownFirst {
		if v, ok := line[k].(float64); ok {
			fmt.Fprintf(&b, "  %s %.4g", strings.ReplaceAll(k, "_", " "), v)
		}
	}
	if d.bar != nil {
		_ = d.bar.Clear()
	}
	fmt.Fprintln(d.out, b.String())
}

// say shows a sentence.
func (d *display) say(text string) {
	if d.out == nil {
		return
	}
	if d.bar != nil {
		_ = d.bar.Clear()
	}
	fmt.Fprintln(d.out, text)
}

// shownFirst orders the numbers of a progress line.
var shownFirst = []string{"epoch", "loss", "ce", "ce_adv", "kl", "revision", "train_accuracy", "train_adv_accuracy",
	"plain_loss", "test_clean", "test_robust", "train_clean", "train_robust", "val_clean", "val_robust", "guard_robust", "lr", "images_per_s", "seconds"}
