package benchmark

import (
	"math"
	"strings"
	"testing"

	"cure/cureml/recipes"
)

// handmade is a card with the given last checkpoint in fractions, and a best one a tenth below.
func handmade(row, arch string, width int, seed uint64, nat, pgd, cw, aa float64) *Card {
	r, err := recipes.Find(row)
	if err != nil {
		panic(err)
	}
	c := &Card{Row: row, Title: r.Title, Method: r.Method, Arch: arch, Width: width, Seed: seed, Minutes: 10, Data: "images", TrainImages: 4577, ValidationImages: 508,
		Evaluation: Evaluation{Data: "images", N: 1017, AutoAttack: 128}}
	nrr := func(a, b float64) float64 { return 2 * a * b / (a + b) }
	c.Checkpoints = []*Checkpoint{
		{Name: "best", Natural: nat - .1, PGD20: pgd - .1, CW20: cw - .1, NRR: nrr(nat-.1, cw-.1)},
		{Name: "last", Natural: nat, PGD20: pgd, CW20: cw, NRR: nrr(nat, cw), AutoAttack: &aa},
	}
	return c
}

// The table against cards made by hand: order, means and deviations, published values, footnotes, failures.
func TestTable(t *testing.T) {
	failed := handmade("mart", "resnet18", 16, 1, 0, 0, 0, 0)
	failed.Checkpoints, failed.Failed = nil, "the loss is NaN at step 7"
	cards := []*Card{ // in no order
		handmade("cure", "resnet18", 16, 0, .6, .3, .3, .25),
		handmade("trades", "resnet18", 16, 0, .5, .4, .3, .25),
		handmade("trades", "resnet18", 16, 1, .52, .44, .34, .31),
		failed,
		handmade("fat", "wrn-34-10", 16, 0, .8, .5, .45, .4),
		handmade("trades-awp", "wrn-34-10", 16, 0, .8, .5, .45, .4),
		handmade("at-awp", "wrn-34-10", 16, 0, .8, .5, .45, .4),
	}
	text, err := Table(cards).Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, cells := range []string{
		// standard deviations of two values are their difference over the root of two
		"TRADES resnet18-w16 best 41.00 ± 1.41 32.00 ± 2.83 22.00 ± 2.83 28.61 ± 2.74 – 10.0",
		"TRADES resnet18-w16 last 51.00 ± 1.41 42.00 ± 2.83 32.00 ± 2.83 39.31 ± 2.56 28.00 ± 4.24 10.0 82.41 52.76 50.43 62.57 48.37",
		"MART [1] resnet18-w16 failed – – – – – – 80.70 54.02 – – 47.49",
		"CURE resnet18-w16 best 50.00 20.00 20.00 28.57 – 10.0",
		"CURE resnet18-w16 last 60.00 30.00 30.00 40.00 25.00 10.0 86.76 54.92 [2] 52.48 65.04 [3] 49.69",
		"FAT wrn-34-10-w16 last 80.00 50.00 45.00 57.60 40.00 10.0 86.60 [4] 49.86 49.35 62.87 47.48",
		"AT-AWP wrn-34-10-w16 last 80.00 50.00 45.00 57.60 40.00 10.0 85.41 [5] 58.30 – – –",
		"TRADES-AWP wrn-34-10-w16 last 80.00 50.00 45.00 57.60 40.00 10.0 85.36 [6] – – – 56.17",
		"4577 training images of images, and 508 that select the best checkpoint; 1017 test images of images, AutoAttack on the first 128, so that it may be above PGD-20's accuracy on all of them.",
		"± is the sample standard deviation over seeds: 2 of TRADES on resnet18-w16.",
		"[1] MART on resnet18-w16, seed 1 failed: the loss is NaN at step 7",
		"[2] CURE, resnet18, published: 54.90 in tables 5 and 7 of the same paper.",
		"[3] CURE, resnet18, published: As printed; the harmonic mean of natural 86.76 and C&W 52.48 is 65.40.",
		"[4] FAT, wrn-34-10, published: Three networks in one row",
		"[5] Published values from AWP's repository, best checkpoint.",
		"[6] Published values from RobustBench.",
	} {
		at := strings.Index(squeeze(text), cells)
		if at < 0 {
			t.Errorf("no %q", cells)
		}
	}
	if t.Failed() {
		t.Log("\n" + text)
	}
	order := []string{"TRADES resnet18", "MART", "CURE", "FAT", "AT-AWP", "TRADES-AWP"}
	last := -1
	for _, name := range order {
		at := strings.Index(squeeze(text), name)
		if at < last {
			t.Errorf("%s stands before what should come before it", name)
		}
		last = at
	}
}

// squeeze makes one space of several.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

// Every misprint that is known has its footnote, at the network it is of.
func TestMisprints(t *testing.T) {
	for _, c := range []struct{ row, arch, cell, note string }{
		{"at", "resnet18", "44.63 [1]", "47.63"},
		{"at", "wrn-34-10", "44.04 [1]", "87.14"},
		{"fat", "wrn-34-10", "86.60 [1]", "FAT-TRADES"},
		{"act", "wrn-34-10", "87.10 [1]", "WRN-28-10"},
		{"las-at", "wrn-34-10", "85.24 [1]", "LAS-PGD-AT"},
		{"cure", "resnet18", "65.04 [2]", "65.40"},
	} {
		text, err := Table([]*Card{handmade(c.row, c.arch, 16, 0, .5, .3, .3, .2)}).Text()
		if err != nil || !strings.Contains(text, c.cell) || !strings.Contains(text[strings.Index(text, "published: "):], c.note) {
			t.Errorf("%s on %s: no %s with a note on %s (%v):\n%s", c.row, c.arch, c.cell, c.note, err, text)
		}
	}
	for _, row := range []string{"trades", "mart", "st-at"} {
		text, err := Table([]*Card{handmade(row, "resnet18", 16, 0, .5, .3, .3, .2)}).Text()
		if err != nil || strings.Contains(text, "[1]") {
			t.Errorf("%s: want no note (%v):\n%s", row, err, text)
		}
	}
}

func TestMeanStd(t *testing.T) {
	if mean, std := meanStd([]float64{1, 2, 6}); mean != 3 || math.Abs(std-math.Sqrt(7)) > 1e-12 {
		t.Errorf("mean %g, deviation %g, want 3 and the root of 7", mean, std)
	}
	if mean, std := meanStd([]float64{5}); mean != 5 || !math.IsNaN(std) {
		t.Errorf("one value: mean %g, deviation %g, want 5 and none", mean, std)
	}
	if mean, _ := meanStd(nil); !math.IsNaN(mean) {
		t.Errorf("no value: mean %g", mean)
	}
}

// Figures draw what there is, and leave out what there is not.
func TestFigures(t *testing.T) {
	cards := []*Card{handmade("trades", "resnet18", 16, 0, .5, .4, .3, .2), handmade("cure", "resnet18", 16, 0, .6, .3, .25, .2),
		handmade("cure-rgp-only", "resnet18", 16, 0, .55, .3, .25, .2), handmade("cure-gamma-0.5", "resnet18", 16, 0, .55, .3, .25, .2)}
	if fig, err := Tradeoff(cards); err != nil || fig == nil {
		t.Errorf("trade-off: %v, %v", fig, err)
	}
	if fig, err := Tradeoff([]*Card{{Row: "at", Arch: "resnet18", Width: 16, Failed: "x"}}); err != nil || fig != nil {
		t.Errorf("trade-off of nothing: %v, %v, want none", fig, err)
	}
	if _, err := PublishedTradeoff(); err != nil {
		t.Error(err)
	}
	if _, err := Parts(cards); err != nil {
		t.Error(err)
	}
	for _, s := range recipes.AblationSeries() {
		if _, err := Sweep(cards, s); err != nil {
			t.Errorf("%s: %v", s.Setting, err)
		}
	}
	if _, err := Sweep(nil, recipes.AblationSeries()[0]); err == nil {
		t.Error("a sweep without cards: want an error")
	}
}

func TestLines(t *testing.T) {
	a, b := handmade("trades", "resnet18", 16, 0, .5, .4, .3, .2), handmade("trades", "resnet18", 32, 0, .5, .4, .3, .2)
	lines := Lines([]*Card{b, a, {Row: "own", Title: "Own", Method: "at", Arch: "resnet18", Width: 16, Failed: "x"}})
	if len(lines) != 3 || lines[0].Arch.Width != 16 || lines[1].Title != "Own" || lines[2].Arch.String() != "resnet18-w32" {
		t.Errorf("lines %+v", lines)
	}
}
