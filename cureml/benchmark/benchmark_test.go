package benchmark

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/recipes"
	"cure/cureml/study"
	"cure/data/mini"
)

// small is a benchmark of seconds on the Go backend: a ResNet-18 of width 2, two steps of 16 images a row.
func small(t *testing.T) *Benchmark {
	t.Helper()
	p := recipes.CI
	p.TrainImages, p.TestImages = 26, 4
	return &Benchmark{
		Preset: p, Dir: filepath.Join(t.TempDir(), "bench"),
		OpenSets:   func() (cureml.Sets, error) { return cureml.Sets{Train: mini.Train(), Test: mini.Test()}, nil },
		OpenDevice: func() (compute.Backend, error) { return mltest.GoBackend(t), nil },
	}
}

func rows(t *testing.T, list string) []recipes.Row {
	t.Helper()
	rows, err := recipes.Select(list)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// run must leave no row failed.
func run(t *testing.T, b *Benchmark, list string) *Outcome {
	t.Helper()
	out, err := b.Run(t.Context(), rows(t, list))
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Failed) > 0 {
		card, _ := b.readCard(out.Failed[0])
		t.Fatalf("failed: %v: %s", out.Failed, card.Failed)
	}
	return out
}

func card(t *testing.T, b *Benchmark, row string) *Card {
	t.Helper()
	c, err := b.readCard(recipes.Folder(row, b.Preset.Arch, 0))
	if err != nil || c == nil {
		t.Fatalf("card of %s: %v, %v", row, c, err)
	}
	return c
}

// A row's numbers are those of its weights, measured alone; done rows cost nothing.
func TestRun(t *testing.T) {
	b := small(t)
	out := run(t, b, "trades,cure")
	want := []string{"trades-resnet18-w2-s0", "cure-resnet18-w2-s0"}
	if !slices.Equal(out.Measured, want) || out.Skipped != nil {
		t.Errorf("outcome %+v, want %v measured", out, want)
	}
	if natural, _ := b.readCard("natural-resnet18-w2-s0"); natural != nil || !cureml.IsRun(b.RunFolder("natural", b.Preset.Arch, 0)) {
		t.Error("natural was not asked for: want its run, which CURE starts from, and no card")
	}
	c := card(t, b, "cure")
	if c.TrainImages+c.ValidationImages != 26 || c.ValidationImages < 4 || c.Evaluation.N != 4 || c.Epochs != 2 || c.Minutes <= 0 || c.Loss[0] <= 0 || c.Machine == "" {
		t.Errorf("card %+v", c)
	}
	if !strings.Contains(c.Train, "--init "+b.RunFolder("natural", b.Preset.Arch, 0)) || !strings.Contains(c.Command, "--methods cure --arch resnet18 --width 2 --seeds 0 --out "+b.Dir) {
		t.Errorf("commands %q, %q", c.Train, c.Command)
	}
	checkNumbers(t, b, c)
	checkSelection(t, b, c)
	for _, name := range []string{"table.txt", "table.md", "table.csv", "table.png", "tradeoff.png"} {
		if _, err := os.Stat(filepath.Join(b.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(b.Dir, "state")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder of states: error %v, want that it is gone", err)
	}

	again := small(t)
	again.Dir = b.Dir
	again.OpenSets = func() (cureml.Sets, error) { return cureml.Sets{}, errors.New("images were opened") }
	again.OpenDevice = func() (compute.Backend, error) { return nil, errors.New("a backend was opened") }
	if out := run(t, again, "trades,cure"); !slices.Equal(out.Skipped, want) || out.Measured != nil {
		t.Errorf("the second time: %+v, want all skipped", out)
	}
	if _, err := again.Run(t.Context(), rows(t, "natural")); err == nil || !strings.Contains(err.Error(), "images were opened") {
		t.Errorf("without images: error %v", err)
	}
	// what was measured in another way is not taken for this benchmark's
	again.Epochs = 3
	if _, err := again.Run(t.Context(), rows(t, "cure")); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "epochs 2 -> 3") {
		t.Errorf("other epochs: error %v", err)
	}
	again.Epochs, again.AutoAttack = 0, 2
	if _, err := again.Run(t.Context(), rows(t, "cure")); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "AutoAttack on 0") {
		t.Errorf("other attacks: error %v", err)
	}
}

// checkNumbers attacks the weights of the run folder by themselves.
func checkNumbers(t *testing.T, b *Benchmark, c *Card) {
	t.Helper()
	list, err := attacks.ParseList("pgd20,cw20")
	if err != nil {
		t.Fatal(err)
	}
	test, err := mini.Test().Slice(0, 4)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"best": "best.safetensors", "last": "final.safetensors"} {
		p := c.Checkpoint(name)
		if p == nil {
			t.Fatalf("no checkpoint %s", name)
		}
		s, _, err := nn.LoadFile(b.Preset.Arch, filepath.Join(b.run(c.Name), file))
		if err != nil {
			t.Fatal(err)
		}
		r, err := attacks.Evaluate(t.Context(), cureml.HostModel(mltest.GoBackend(t), s), test.Images, test.Labels, list, attacks.Options{})
		if err != nil {
			t.Fatal(err)
		}
		nat, pgd, cw := r.Clean.Accuracy, r.Attacks[0].RobustAccuracy, r.Attacks[1].RobustAccuracy
		if p.Natural != nat || p.PGD20 != pgd || p.CW20 != cw || p.AutoAttack != nil {
			t.Errorf("%s: %+v, want natural %g, PGD-20 %g, C&W %g", name, p, nat, pgd, cw)
		}
		nrr := 0.
		if nat+cw > 0 {
			nrr = 2 * nat * cw / (nat + cw)
		}
		if math.Abs(p.NRR-nrr) > 1e-12 {
			t.Errorf("%s: NRR %g, want %g", name, p.NRR, nrr)
		}
	}
}

// checkSelection: the run has seen validation images and no test images, and best is its best epoch.
func checkSelection(t *testing.T, b *Benchmark, c *Card) {
	t.Helper()
	m, err := study.ReadMetrics(b.run(c.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, test := m.Series("epoch", "test_robust"); test != nil {
		t.Errorf("accuracies on test images in metrics.jsonl: %v", test)
	}
	epochs, robust := m.Series("epoch", "val_robust")
	if len(epochs) != 2 {
		t.Fatalf("validation accuracies %v of epochs %v, want two", robust, epochs)
	}
	want := 1
	if robust[1] > robust[0] {
		want = 2
	}
	if best, last := c.Checkpoint("best"), c.Checkpoint("last"); best.Epoch != want || last.Epoch != 2 {
		t.Errorf("epochs %d and %d, want %d (accuracies %v) and 2", best.Epoch, last.Epoch, want, robust)
	}
}

// A benchmark that is stopped in training and in attacks, again and again, ends in the same numbers.
func TestResume(t *testing.T) {
	whole := small(t)
	run(t, whole, "trades")
	want := card(t, whole, "trades")

	b := small(t)
	stops := 0
	for calls := 3; ; calls += 9 { // further at every try
		ctx, cancel := context.WithCancel(t.Context())
		left := calls
		count := func() {
			if left--; left == 0 {
				cancel()
			}
		}
		b.Log = writer(count)
		b.Progress = func(attacks.Progress) { count() }
		out, err := b.Run(ctx, rows(t, "trades"))
		cancel()
		if err == nil {
			if len(out.Measured) != 1 {
				t.Fatalf("outcome %+v", out)
			}
			break
		}
		stops++
		if !errors.Is(err, ErrInterrupted) || stops > 50 {
			t.Fatalf("stop %d: %v", stops, err)
		}
		if c, _ := b.readCard("trades-resnet18-w2-s0"); c != nil {
			t.Fatalf("stop %d left a card: %+v", stops, c)
		}
	}
	if stops < 3 {
		t.Errorf("%d stops, want some in training and some in attacks", stops)
	}
	got := card(t, b, "trades")
	for i, p := range want.Checkpoints {
		if *got.Checkpoints[i] != *p {
			t.Errorf("%s: got %+v, want %+v", p.Name, *got.Checkpoints[i], *p)
		}
	}
	if got.Loss != want.Loss {
		t.Errorf("losses %v, want %v", got.Loss, want.Loss)
	}
}

type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }

// A row that fails is told in card, table and outcome; the others go on, and the next call tries it again.
func TestFailure(t *testing.T) {
	b := small(t)
	inTheWay := b.RunFolder("natural", b.Preset.Arch, 0)
	if err := write(inTheWay, []byte("no folder")); err != nil {
		t.Fatal(err)
	}
	broken := recipes.Row{Name: "broken", Title: "Broken", Method: "natural", LastOnly: true, Set: []string{"init=none.safetensors"}}
	unknown := recipes.Row{Name: "unknown", Title: "Unknown", Method: "sgd"}
	all := append(rows(t, "natural,trades,cure"), broken, unknown)
	out, err := b.Run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"natural-resnet18-w2-s0", "cure-resnet18-w2-s0", "broken-resnet18-w2-s0", "unknown-resnet18-w2-s0"}; !slices.Equal(out.Failed, want) || len(out.Measured) != 1 {
		t.Errorf("outcome %+v, want %v failed", out, want)
	}
	for row, want := range map[string]string{"cure": "the row natural, which it needs: ", "broken": "none.safetensors", "unknown": `unknown method "sgd"`} {
		if c := card(t, b, row); !strings.Contains(c.Failed, want) || strings.Contains(c.Failed, "\n") || c.Checkpoints != nil {
			t.Errorf("%s: card %q, want one with %q", row, c.Failed, want)
		}
	}
	text, err := os.ReadFile(filepath.Join(b.Dir, "table.txt"))
	if err != nil || !strings.Contains(string(text), "Broken [") || !strings.Contains(string(text), "Broken on resnet18-w2, seed 0 failed: ") {
		t.Errorf("table (%v):\n%s", err, text)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	b.broken = nil // as in a new process
	if out := run(t, b, "natural,trades,cure"); len(out.Measured) != 2 || len(out.Skipped) != 1 {
		t.Errorf("the second time: %+v, want natural and CURE measured", out)
	}
}

// Notebooks get a line an epoch.
func TestOpen(t *testing.T) {
	t.Setenv(study.PresetEnv, "ci")
	b, err := Open("runs", "cards")
	if err != nil {
		t.Fatal(err)
	}
	if b.Preset.Name != "ci" || b.Dir != filepath.Join("runs", "ci", "benchmark") || b.Saved != "cards" {
		t.Errorf("preset %s in %s and %s", b.Preset.Name, b.Dir, b.Saved)
	}
	var out strings.Builder
	log := perEpoch{&out}
	for _, line := range []string{"at train step 5/10  epoch 1\n", "at eval step 5/10  val clean 0.1\n"} {
		if n, err := log.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	if out.String() != "at eval step 5/10  val clean 0.1\n" {
		t.Errorf("progress %q", out.String())
	}
	t.Setenv(study.PresetEnv, "huge")
	if _, err := Open("runs", ""); err == nil || !strings.Contains(err.Error(), "ci, mini, paper") {
		t.Errorf("unknown preset: error %v", err)
	}
}

// A panic is the failure of one row.
func TestPanic(t *testing.T) {
	b := small(t)
	b.Epochs = 1
	b.Progress = func(attacks.Progress) { panic("out of luck") }
	out, err := b.Run(t.Context(), rows(t, "natural"))
	if err != nil || len(out.Failed) != 1 || !strings.Contains(card(t, b, "natural").Failed, "internal error: out of luck") {
		t.Errorf("outcome %+v, error %v", out, err)
	}
}

// AutoAttack, here a short ensemble in its place, takes the first images of the last checkpoint alone.
func TestAutoAttack(t *testing.T) {
	b := small(t)
	b.Epochs, b.AutoAttack, b.ensemble = 1, 2, "fgsm+bim"
	run(t, b, "at")
	c := card(t, b, "at")
	last, best := c.Checkpoint("last"), c.Checkpoint("best")
	if last.AutoAttack == nil || best.AutoAttack != nil || c.Evaluation.AutoAttack != 2 {
		t.Fatalf("checkpoints %+v, %+v", last, best)
	}
	if v := 2 * *last.AutoAttack; v != math.Trunc(v) || v > 2*last.Natural*2 {
		t.Errorf("accuracy %g is none of two images, or above the natural one", *last.AutoAttack)
	}
}

func ExampleTable() {
	aa := 0.375
	cards := []*Card{{Row: "trades", Title: "TRADES", Arch: "resnet18", Width: 16, TrainImages: 4577, ValidationImages: 508, Minutes: 8.76,
		Data: "CIFAR-10 mini (exact subset)", Evaluation: Evaluation{Data: "CIFAR-10 mini (exact subset)", N: 1017, AutoAttack: 128},
		Checkpoints: []*Checkpoint{{Name: "last", Natural: 0.5, PGD20: 0.3, CW20: 0.25, NRR: 1. / 3, AutoAttack: &aa}}}}
	values, err := CSV(cards)
	fmt.Print(string(values), err)
	// Output:
	// row,method,arch,width,checkpoint,seeds,failed,natural,natural_std,published_natural,pgd20,pgd20_std,published_pgd20,cw,cw_std,published_cw,nrr,nrr_std,published_nrr,aa,aa_std,published_aa,minutes,published_source,notes
	// trades,trades,resnet18,16,last,1,0,50.0000,,82.4100,30.0000,,52.7600,25.0000,,50.4300,33.3333,,62.5706,37.5000,,48.3700,8.7600,"CURE (arXiv 2401.14948), table 1",
	// <nil>
}
