package study

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Line is one line of a run's metrics.jsonl.
type Line struct {
	// Kind is train, for means over the steps since the line before, eval, for accuracies on images not trained on, or
	// guard, for an accuracy on a batch trained on.
	Kind string
	// Values are its numbers: step, epoch and seconds in every line; of train lines lr, loss and its terms, train_accuracy
	// and train_adv_accuracy; of eval lines test_clean and test_robust (under PGD-10), as shares, and train_clean and
	// train_robust where the config asks for training images too.
	Values map[string]float64
}

// Metrics are the lines of a run in their order.
type Metrics []Line

// ReadMetrics reads metrics.jsonl of the run folder dir. A last line without an end, which a killed run leaves, is not
// part of it.
func ReadMetrics(dir string) (Metrics, error) {
	m, _, err := readMetrics(dir, 0)
	return m, err
}

// readMetrics reads the whole lines from offset on, and returns the offset behind them.
func readMetrics(dir string, offset int64) (m Metrics, end int64, err error) {
	path := filepath.Join(dir, "metrics.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, offset, fmt.Errorf("study: %w", err)
	}
	if offset > int64(len(text)) {
		return nil, offset, nil
	}
	for text = text[offset:]; ; {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return m, offset, nil
		}
		l, err := parseLine(line)
		if err != nil {
			return m, offset, fmt.Errorf("study: %s, line at byte %d: %w", path, offset, err)
		}
		m = append(m, l)
		offset += int64(len(line)) + 1
		text = rest
	}
}

func parseLine(text []byte) (l Line, err error) {
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		return l, err
	}
	l.Values = map[string]float64{}
	for k, v := range values {
		switch v := v.(type) {
		case float64:
			l.Values[k] = v
		case string:
			if k == "kind" {
				l.Kind = v
			}
		}
	}
	return l, nil
}

// Series are the values of y over those of x, of the lines that hold both: Series("epoch", "test_clean"), say.
func (m Metrics) Series(x, y string) (xs, ys []float64) {
	for _, l := range m {
		a, okX := l.Values[x]
		b, okY := l.Values[y]
		if okX && okY {
			xs, ys = append(xs, a), append(ys, b)
		}
	}
	return xs, ys
}

// Last is the last value of that name, and false where there is none.
func (m Metrics) Last(name string) (v float64, ok bool) {
	for _, l := range m {
		if at, has := l.Values[name]; has {
			v, ok = at, true
		}
	}
	return v, ok
}
