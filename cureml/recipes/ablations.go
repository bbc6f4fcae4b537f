package recipes

import "fmt"

// ablationRows are CURE with one thing changed: without the revision model (γ = 0: gradient prominence alone), without
// conserved weights (p = 0: revision alone), and along its three constants, whose defaults for ResNet-18 are p = 0.3,
// α = 0.1 and γ = 1. CURE's own row belongs to each of these series.
func ablationRows() []Row {
	row := func(name, title string, p Published, set ...string) Row {
		p.Source = "CURE, ablations and sensitivity"
		return Row{Name: "cure-" + name, Title: title, Kind: Ablation, Method: "cure", Init: "natural", Set: set, Cost: 1.25,
			Paper: curePaper, Published: map[string]Published{resnet18: p}, Source: "Gowda, Zonooz and Arani, ICLR 2024"}
	}
	rows := []Row{
		row("rgp-only", "CURE, RGP only (γ = 0)", published(81.27, 53.20, 49.06, 51.33), "cure.gamma=0"),
		row("revision-only", "CURE, revision only (p = 0)", published(83.28, 51.57, 47.35, 50.96), "cure.percentile=0"),
	}
	for _, s := range sweeps {
		for _, v := range s.values {
			rows = append(rows, row(fmt.Sprintf("%s-%g", s.setting, v.value), fmt.Sprintf("CURE, %s = %g", s.symbol, v.value), v.published,
				fmt.Sprintf("cure.%s=%g", s.setting, v.value)))
		}
	}
	return rows
}

// sweep is a series over one setting; the values left out are those of rows that exist anyway.
type sweep struct {
	setting, symbol string
	values          []sweepValue
}

type sweepValue struct {
	value     float64
	published Published
}

var sweeps = []sweep{
	{"percentile", "p", []sweepValue{{0.1, published(85.15, 55.65, none, none)}, {0.5, unpublished}}},
	{"alpha", "α", []sweepValue{{0.2, published(86.95, 54.17, none, none)}, {0.5, published(88.52, 53.67, none, none)}}},
	{"gamma", "γ", []sweepValue{{0.5, published(86.25, 53.13, none, none)}}},
}

var unpublished = published(none, none, none, none)

// Series are the rows along one setting of CURE, in the order of its values.
type Series struct {
	Setting, Symbol string
	Rows            []string
	Values          []float64
}

// AblationSeries are the three sweeps: percentile, α and γ.
func AblationSeries() []Series {
	return []Series{
		{"percentile", "p", []string{"cure-revision-only", "cure-percentile-0.1", "cure", "cure-percentile-0.5"}, []float64{0, 0.1, 0.3, 0.5}},
		{"alpha", "α", []string{"cure", "cure-alpha-0.2", "cure-alpha-0.5"}, []float64{0.1, 0.2, 0.5}},
		{"gamma", "γ", []string{"cure-rgp-only", "cure-gamma-0.5", "cure"}, []float64{0, 0.5, 1}},
	}
}
