package analysis

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data/mini"
)

// TestRevision: a copy is at distance 0 and agrees in everything; a classifier that is scaled is where it is put.
func TestRevision(t *testing.T) {
	n := tinyNet(t, "n", 1)
	far := &nn.State{}
	*far = *n.State
	far.Values = maps.Clone(n.Values)
	far.Values["linear.weight"] = nil
	var squares float64
	for _, v := range n.Values["linear.weight"] {
		far.Values["linear.weight"] = append(far.Values["linear.weight"], -3*v)
		squares += float64(v) * float64(v)
	}
	bias := length(n.Values["linear.bias"])
	attack, err := attacks.Preset("fgsm")
	if err != nil {
		t.Fatal(err)
	}
	set := tinySet(t, 5)
	r, err := CompareRevision(t.Context(), mltest.GoBackend(t), []Moment{{n, n.State, 0}, {Network{"far", n.State}, far, 1}}, set,
		RevisionOptions{Attack: attack, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"stem", "block 1", "block 2", "block 3", "block 4", "classifier"}; len(r.Blocks) != len(want) || r.Blocks[4] != want[4] {
		t.Errorf("blocks %v, want %v", r.Blocks, want)
	}
	copied, scaled := r.Moments[0], r.Moments[1]
	mltest.Close(t, "distances of a copy", copied.Distance, make([]float64, 6), 0, 0)
	if copied.Divergence != 0 || copied.Disagree != 0 || copied.Student != copied.Average {
		t.Errorf("a copy: %+v", copied)
	}
	mltest.Close(t, "distances", scaled.Distance, []float64{0, 0, 0, 0, 0, 4 * math.Sqrt(squares) / math.Sqrt(squares+bias*bias)}, 0, 1e-6)
	if scaled.Divergence <= 0 || scaled.Student != copied.Student {
		t.Errorf("divergence %v, student %+v and %+v", scaled.Divergence, scaled.Student, copied.Student)
	}
	// accuracy and divergence again, one image at a time through attacks' own evaluation
	device := mltest.GoBackend(t)
	report, err := attacks.Evaluate(t.Context(), cureml.HostModel(device, far), set.Images, set.Labels, []attacks.Attack{attack}, attacks.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Accuracy{report.Clean.Accuracy, report.RobustAccuracy}); scaled.Average != want {
		t.Errorf("the average has %+v, want %+v", scaled.Average, want)
	}
	if pictures, err := r.Pictures(); err != nil || len(pictures) != 2 || len(r.Tables()[0].Rows) != 2 {
		t.Errorf("%d pictures, error %v", len(pictures), err)
	}
	if _, err := CompareRevision(t.Context(), device, Still([]Network{n}), set, RevisionOptions{Attack: attack}); err == nil || !strings.Contains(err.Error(), "n has no revision model") {
		t.Errorf("without a revision model: error %v", err)
	}
	if _, err := CompareRevision(t.Context(), device, []Moment{{n, n.State, 0}}, set, RevisionOptions{}); err == nil || !strings.Contains(err.Error(), "want one that attacks") {
		t.Errorf("without an attack: error %v", err)
	}
}

// TestMoments reads the snapshots of a run.
func TestMoments(t *testing.T) {
	c := cureml.Defaults("cure")
	c.Arch = nn.Arch{Name: "wrn-10-1", Width: 1, Classes: 10}
	c.Epochs, c.Batch, c.Attack.Steps, c.EvalEvery, c.SaveEvery, c.Cure.EMARate = 1, 2, 1, 0, 1, 1
	set, err := mini.Train().Slice(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := cureml.Train(t.Context(), mltest.GoBackend(t), c, cureml.Sets{Train: set}, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	moments, err := Moments(dir, "cure")
	if err != nil {
		t.Fatal(err)
	}
	if len(moments) != 2 || moments[1].Name != "cure, epoch 1" || moments[1].Epoch != 1 || moments[1].Revision == nil {
		t.Fatalf("moments %+v", moments)
	}
	start := blockDistances(moments[0].State, moments[0].Revision)
	mltest.Close(t, "distances at the start", start, make([]float64, 5), 0, 0)
	if end := blockDistances(moments[1].State, moments[1].Revision); end[0] == 0 {
		t.Error("student and revision model are equal at the end")
	}
	if err := os.Remove(filepath.Join(dir, "snapshots", "revision-0000.safetensors")); err != nil {
		t.Fatal(err)
	}
	if moments, err := Moments(dir, "cure"); err != nil || moments[0].Revision != nil {
		t.Errorf("without one revision model: error %v", err)
	}
	if _, err := Moments(t.TempDir(), "none"); err == nil || !strings.Contains(err.Error(), "keeps no snapshots") {
		t.Errorf("no snapshots: error %v", err)
	}
}
