package benchmark

import (
	"strings"
	"testing"

	"cure/cureml/recipes"
)

// TestSensitivity: published values stand beside those of cards, and what was not measured is told.
func TestSensitivity(t *testing.T) {
	empty := Sensitivity(nil)
	if len(empty.Rows) != 10 || !strings.Contains(empty.Notes[0], "nothing of this was measured") {
		t.Fatalf("%d rows, notes %v", len(empty.Rows), empty.Notes)
	}
	card := &Card{Row: "cure-percentile-0.1", Preset: "mini", Arch: "resnet18", Width: 16,
		Checkpoints: []*Checkpoint{{Name: "last", Natural: 0.5, PGD20: 0.25}}}
	got := Sensitivity([]*Card{card})
	for i, want := range map[int]string{1: "p = 0.1|85.15|55.65|50.00|25.00", 2: "p = 0.3|86.76|54.92|–|–", 3: "p = 0.5|–|–|–|–"} {
		if row := strings.Join(got.Rows[i], "|"); row != want {
			t.Errorf("row %d: %s, want %s", i, row, want)
		}
	}
	if got.Notes[0] != "measured: preset mini, seed 0, 1 of 10 rows" {
		t.Errorf("note %q", got.Notes[0])
	}
	for _, s := range recipes.AblationSeries() {
		for _, name := range s.Rows {
			if _, err := recipes.Find(name); err != nil {
				t.Error(err)
			}
		}
	}
}
