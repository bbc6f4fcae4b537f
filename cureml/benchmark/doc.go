// Package benchmark trains and measures the rows of package recipes, and makes the table of them.
//
// A [Benchmark] is a folder:
//
//	runs/trades-resnet18-w16-s0/        a run folder: row, network, seed
//	cards/trades-resnet18-w16-s0.json   what was measured on it: a [Card]
//	state/...                           evaluations in work
//	table.txt, .md, .csv, .png          made of the cards after every row
//	tradeoff.png
//
// [Benchmark.Run] does what is missing. A row with a card is skipped; a run that was stopped goes on from its checkpoint
// and an evaluation from its state file, so that a benchmark that was killed at any moment ends in the same numbers. A row
// that fails leaves a card that says so, and the others go on; the next call tries it again. Networks that a row starts or
// learns from are trained first.
//
// # What is measured
//
// Training holds images out (Preset.Validation), and the checkpoint with the best accuracy under PGD-10 on these is the
// one called best; last is the one of the last step. The test images select nothing. Of both are measured natural accuracy,
// PGD-20 and C&W (PGD on the margin) as the codes of TRADES, MART and CURE have them (presets pgd20 and cw20 of package
// attacks), and the natural-robust ratio of natural and C&W accuracy, as in CURE's table:
//
//	NRR = 2 nat rob / (nat + rob)
//
// AutoAttack (standard, eps 8/255) attacks the last checkpoint, on as many of the first test images as the preset says.
// With several seeds the table has means and sample standard deviations.
package benchmark
