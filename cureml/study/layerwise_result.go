package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"cure/cureml/nn"
)

// LayerwiseResult is what the study measured. Accuracies are shares of the test images.
type LayerwiseResult struct {
	Preset      string `json:"preset"`
	Arch        string `json:"arch"`
	Data        string `json:"data"`
	TrainImages int    `json:"train_images"` // 0 is all
	TestImages  int    `json:"test_images"`
	Epochs      int    `json:"epochs"`
	Attack      string `json:"attack"`
	Start       string `json:"start"` // the natural network
	Stem        string `json:"stem"`
	FrozenBN    string `json:"frozen_bn"`
	// Layers are the convolutions and the classifier, in the order of PyTorch's state dict.
	Layers  []string       `json:"layers"`
	Natural LayerwiseRow   `json:"natural"` // the network that all begin with
	Rows    []LayerwiseRow `json:"rows"`    // of the variants that are trained
}

// LayerwiseRow is what was measured of one network.
type LayerwiseRow struct {
	Variant
	Images int     `json:"images"` // measured
	Nat    float64 `json:"nat"`
	Rob    float64 `json:"rob"`
	// Change is ‖w − w₀‖ / ‖w₀‖ of the weights of each of Layers, w₀ those of the natural network; 0 where it was frozen.
	Change  []float64 `json:"change"`
	Minutes float64   `json:"minutes"` // of training
	// Training is the accuracy under the attack of training on the batches trained on, over epochs, and Test the one
	// under PGD-10 on test images after epochs, where the preset measures it.
	Training Curve `json:"training"`
	Test     Curve `json:"test"`
}

// Curve is a series of shares over epochs.
type Curve struct {
	Epochs []float64 `json:"epochs"`
	Shares []float64 `json:"shares"`
}

// measuredFile keeps a row beside its run, with all that it depends on apart from the run's weights.
const measuredFile = "measured.json"

type measuredRow struct {
	Data   string       `json:"data"`
	Images int          `json:"images"` // asked for; 0 is all
	Attack string       `json:"attack"`
	Layers []string     `json:"layers"`
	Row    LayerwiseRow `json:"row"`
}

// Result attacks the networks that have not been measured yet with PGD-20, and gathers all that is known of the variants
// trained so far, of which there has to be one.
func (l *Layerwise) Result() (*LayerwiseResult, error) {
	list := []Variant{{}}
	for _, v := range l.Variants() {
		done, err := l.Trained(v)
		if err != nil {
			return nil, err
		}
		if done {
			list = append(list, v)
		}
	}
	if len(list) == 1 {
		return nil, fmt.Errorf("study: no variant is trained yet in %s", l.Dir)
	}
	rows, err := l.measured(list)
	if err != nil {
		return nil, err
	}
	c := l.Config(list[1])
	r := &LayerwiseResult{
		Preset: l.Name, Arch: l.Arch.String(), Data: l.Data, TrainImages: l.TrainImages, TestImages: rows[0].Row.Images, Epochs: c.Epochs,
		Attack: rows[0].Attack, Start: l.natural(), Stem: l.Options.Stem, FrozenBN: l.Options.FrozenBN,
		Layers: rows[0].Layers, Natural: rows[0].Row,
	}
	for _, m := range rows[1:] {
		r.Rows = append(r.Rows, m.Row)
	}
	return r, nil
}

// measured reads the rows of the networks, and measures those that have none.
func (l *Layerwise) measured(list []Variant) ([]*measuredRow, error) {
	attack, err := l.attack()
	if err != nil {
		return nil, err
	}
	rows := make([]*measuredRow, len(list))
	var missing []int
	var names []string
	for i, v := range list {
		if rows[i], err = l.readRow(v, attack[0].Name); err != nil {
			return nil, err
		}
		if rows[i] == nil {
			missing, names = append(missing, i), append(names, l.networkOf(v))
		}
	}
	if len(missing) == 0 {
		return rows, nil
	}
	before, err := l.network(l.natural())
	if err != nil {
		return nil, err
	}
	reports, err := l.Attack(names, attack)
	if err != nil {
		return nil, err
	}
	for k, i := range missing {
		m := &measuredRow{Data: l.Data, Images: l.TestImages, Attack: attack[0].Name}
		m.Row = LayerwiseRow{Variant: list[i], Images: reports[k].N, Nat: reports[k].Clean.Accuracy, Rob: reports[k].RobustAccuracy}
		after, err := l.network(names[k])
		if err != nil {
			return nil, err
		}
		if m.Layers, m.Row.Change, err = relativeChange(before.State, after.State); err != nil {
			return nil, err
		}
		if list[i].Blocks != "" {
			if err := m.Row.readTraining(l.folder(list[i].run())); err != nil {
				return nil, err
			}
		}
		if rows[i], err = m, l.writeRow(m); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// readTraining fills in what the run's metrics say.
func (r *LayerwiseRow) readTraining(dir string) error {
	m, err := ReadMetrics(dir)
	if err != nil {
		return err
	}
	seconds, _ := m.Last("seconds")
	r.Minutes = seconds / 60
	r.Training.Epochs, r.Training.Shares = m.Series("epoch", "train_adv_accuracy")
	r.Test.Epochs, r.Test.Shares = m.Series("epoch", "test_robust")
	return nil
}

// readRow returns nil where nothing was measured, or something else.
func (l *Layerwise) readRow(v Variant, attack string) (*measuredRow, error) {
	path := filepath.Join(l.folder(l.folderOf(v)), measuredFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	m := new(measuredRow)
	if err == nil {
		err = json.Unmarshal(text, m)
	}
	if err != nil {
		return nil, fmt.Errorf("study: %s: %w", path, err)
	}
	if m.Row.Variant != v {
		return nil, fmt.Errorf("study: %s is about %s, not %s", path, m.Row.Variant, v)
	}
	if m.Data != l.Data || m.Images != l.TestImages || m.Attack != attack {
		return nil, nil
	}
	return m, nil
}

func (l *Layerwise) writeRow(m *measuredRow) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = renameio.WriteFile(filepath.Join(l.Run(l.folderOf(m.Row.Variant)), measuredFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	return nil
}

// relativeChange is ‖after - before‖ / ‖before‖ of the weights of every convolution and of the classifier, in Euclidean
// norms of the whole tensor.
func relativeChange(before, after *nn.State) (layers []string, change []float64, err error) {
	for _, t := range before.Tensors {
		if t.Kind != nn.ConvWeight && t.Kind != nn.LinearWeight {
			continue
		}
		a, b := before.Values[t.Name], after.Values[t.Name]
		if len(a) != len(b) {
			return nil, nil, fmt.Errorf("study: %s has %d values in one network and %d in the other", t.Name, len(a), len(b))
		}
		var moved, size float64
		for i := range a {
			d := float64(b[i]) - float64(a[i])
			moved += d * d
			size += float64(a[i]) * float64(a[i])
		}
		ratio := math.Sqrt(moved / size)
		if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
			return nil, nil, fmt.Errorf("study: the relative change of %s is %g: its weights are all zero at first, or not finite", t.Name, ratio)
		}
		layers, change = append(layers, strings.TrimSuffix(t.Name, ".weight")), append(change, ratio)
	}
	return layers, change, nil
}
