package study

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func metricsFile(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const twoLines = `{"kind":"train","step":2,"epoch":0.5,"loss":2.25}
{"kind":"eval","step":4,"epoch":1,"test_clean":0.5,"test_robust":0.25}
`

func TestReadMetrics(t *testing.T) {
	m, err := ReadMetrics(metricsFile(t, twoLines+`{"kind":"train","step":6,"lo`))
	if err != nil {
		t.Fatal(err)
	}
	if len(m) != 2 || m[0].Kind != "train" || m[1].Kind != "eval" {
		t.Fatalf("got %v, want a train and an eval line, and nothing of the unfinished third", m)
	}
	for _, c := range []struct {
		x, y   string
		xs, ys []float64
	}{
		{"epoch", "step", []float64{0.5, 1}, []float64{2, 4}},
		{"epoch", "test_robust", []float64{1}, []float64{0.25}},
		{"step", "kind", nil, nil},
	} {
		if xs, ys := m.Series(c.x, c.y); !slices.Equal(xs, c.xs) || !slices.Equal(ys, c.ys) {
			t.Errorf("Series(%q, %q): got %v, %v, want %v, %v", c.x, c.y, xs, ys, c.xs, c.ys)
		}
	}
	if v, ok := m.Last("loss"); v != 2.25 || !ok {
		t.Errorf("Last(loss): got %v, %v, want 2.25", v, ok)
	}
	if _, ok := m.Last("kl"); ok {
		t.Error("Last(kl): found, want nothing")
	}
}

func TestReadMetricsBad(t *testing.T) {
	dir := metricsFile(t, twoLines+"{\"kind\":\n{}\n")
	if _, err := ReadMetrics(dir); err == nil || !strings.Contains(err.Error(), "metrics.jsonl") || !strings.Contains(err.Error(), fmt.Sprintf("byte %d", len(twoLines))) {
		t.Errorf("damaged line: got error %v, want one that names the file and byte %d", err, len(twoLines))
	}
	if _, err := ReadMetrics(t.TempDir()); err == nil {
		t.Error("no file: got no error")
	}
}

// A file that grows is handed over line by line, each once; one that was cut back gives nothing new.
func TestFollow(t *testing.T) {
	dir := metricsFile(t, twoLines[:60])
	var steps []float64
	f := &follower{dir: dir, each: func(l Line) { steps = append(steps, l.Values["step"]) }}
	for _, text := range []string{twoLines[:60], twoLines, twoLines, twoLines[:10]} {
		if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := f.drain(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(steps, []float64{2, 4}) || len(f.seen) != 2 {
		t.Errorf("got steps %v, want 2 and 4 once each", steps)
	}
}
