// Package recipes holds the trainings of the benchmark: for every row of the CIFAR-10 table of CURE (Gowda, Zonooz and
// Arani, ICLR 2024, arXiv 2401.14948, table 1), for further methods that users of this field expect, and for CURE's
// ablations, what to train, from what, for how long, and which numbers papers report for it.
//
// A [Row] is one line of the table; a [Preset] is a size: ci (does it run?), mini (two cores, minutes a row, the images
// inside the program) and paper (the networks, epochs and schedules of the papers, for a GPU). Together they give a
// [cureml.Config] and the command that trains it:
//
//	row, err := recipes.Find("cure")
//	c, err := recipes.Mini.Config(row, recipes.Mini.Arch, 0, "runs")
//	fmt.Println(recipes.Command(c, "runs/" + recipes.Folder(row.Name, c.Arch, 0)))
//
// `cure recipe list`, `show` and `run` do the same from the command line; package benchmark trains and measures all of it.
//
// # What rows start and learn from
//
// CURE starts from the naturally trained network of the same benchmark, as in its paper. Teachers are rows of the same
// benchmark too, with the same architecture and seed: TRADES for ARD (whose paper's teacher is TRADES), AT for IAD and
// AKD2 (as in IAD's paper), natural training for HAT's helper and the second teacher of IAD-II and AKD2. The networks that
// are shipped with the program (zoo:trades, zoo:natural) would be better teachers, but they have seen ten times as many
// images as the rows of a mini benchmark, which would make the rows incomparable.
//
// # Where numbers come from
//
// Paper-scale settings are those of the official codes that the doc comment of each method names, where these agree with
// the papers; a row's Note says where they do not. Images are not normalised, as in TRADES and CURE; the codes of Rice et
// al., Pang et al., AWP, RWP, Fast-AT and SCORE do that. Published values are in per cent and carry their source. Values that
// could not be confirmed are left out. Known misprints are kept as printed and have a footnote.
package recipes
