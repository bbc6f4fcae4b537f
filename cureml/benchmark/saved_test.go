package benchmark

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/cureml/nn"
)

// Cards made elsewhere stand for rows, where they are of the same settings and attacks.
func TestSaved(t *testing.T) {
	made := small(t)
	run(t, made, "trades")
	b := small(t)
	b.Saved = made.cards()
	out := run(t, b, "trades,natural")
	if !slices.Equal(out.Skipped, []string{"trades-resnet18-w2-s0"}) || !slices.Equal(out.Measured, []string{"natural-resnet18-w2-s0"}) {
		t.Errorf("outcome %+v, want trades skipped and natural measured", out)
	}
	cards, err := b.Cards()
	if err != nil || len(cards) != 2 || cards[0].Row != "natural" || cards[1].Row != "trades" || !reflect.DeepEqual(cards[1], card(t, made, "trades")) {
		t.Fatalf("cards %v (%v), want natural's and the saved one", cards, err)
	}
	text, err := os.ReadFile(filepath.Join(b.Dir, "table.csv"))
	if err != nil || !strings.Contains(string(text), "\ntrades,") || !strings.Contains(string(text), "\nnatural,") {
		t.Errorf("table (%v):\n%s", err, text)
	}
	// the row is not measured by another call either, and with its run folder missing its curves come from the card
	if fig, err := Lines(cards)[1].Curves(); err != nil || fig == nil {
		t.Errorf("curves %v, %v", fig, err)
	}

	for name, change := range map[string]func(*Benchmark){
		"epochs":   func(b *Benchmark) { b.Epochs = 3 },
		"preset":   func(b *Benchmark) { b.Preset.Name = "other" },
		"networks": func(b *Benchmark) { b.Archs = []nn.Arch{{Name: "resnet18", Width: 4, Classes: 10}} },
		"seeds":    func(b *Benchmark) { b.Seeds = []uint64{1} },
	} {
		other := small(t)
		other.Saved = made.cards()
		change(other)
		jobs, err := other.plan(rows(t, "trades"))
		if err != nil || len(jobs) != 1 || jobs[0].done {
			t.Errorf("other %s: jobs %+v (%v), want the row still to do", name, jobs, err)
		}
	}

	// AutoAttack may be missing, but not be of other images
	b.AutoAttack = 2
	if jobs, err := b.plan(rows(t, "trades")); err != nil || !jobs[0].done {
		t.Errorf("without AutoAttack: jobs %+v (%v), want the row done", jobs, err)
	}
	attacked := *cards[1]
	attacked.Evaluation.AutoAttack = 4
	if b.ours(&attacked) {
		t.Error("a card with AutoAttack on 4 images stands for one on 2")
	}
	b.AutoAttack = 0

	// a saved card replaces one that says that the row failed
	failed := card(t, b, "natural")
	failed.Name, failed.Row, failed.Failed = "trades-resnet18-w2-s0", "trades", "no memory"
	if err := b.writeCard(failed); err != nil {
		t.Fatal(err)
	}
	if cards, err = b.Cards(); err != nil || len(cards) != 2 || cards[1].Failed != "" {
		t.Errorf("beside a failure: cards %v (%v), want the saved one", cards, err)
	}
}
