package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
	"cure/viz"
)

// TransferOptions are the settings of [MeasureTransfer].
type TransferOptions struct {
	Attacks []attacks.Attack `json:"attacks"`
	Seed    uint64           `json:"seed"`
}

// DefaultTransfer has PGD-20, and within the same budget an attack that was made to transfer.
func DefaultTransfer() TransferOptions {
	list, _ := attacks.ParseList("pgd20,mi-fgsm") // which exist
	momentum := list[1].Method.(attacks.Momentum)
	momentum.Ball = list[0].Method.Budget()
	list[1].Method = momentum
	return TransferOptions{Attacks: list}
}

// Transfer shows how networks fare with images that were made to fool another one.
type Transfer struct{ *attacks.Matrix }

// MeasureTransfer attacks every network and shows what came out to all of them, as [attacks.Transfer] documents.
func MeasureTransfer(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o TransferOptions) (*Transfer, error) {
	if err := checkAttacked(nets, set, o.Attacks...); err != nil {
		return nil, err
	}
	subjects, free := seatAll(device, nets)
	defer free()
	var models []attacks.NamedModel
	for _, s := range subjects {
		models = append(models, attacks.NamedModel{Name: s.Name, Model: s.Model})
	}
	matrix, err := attacks.Transfer(ctx, models, set.Images, set.Labels, o.Attacks, attacks.Options{Seed: int64(o.Seed)})
	if err != nil {
		return nil, err
	}
	return &Transfer{matrix}, nil
}

// Tables has one table for each attack: accuracies with the network that the images were made for as the row.
func (t *Transfer) Tables() []*viz.Table {
	var tables []*viz.Table
	for _, a := range t.Attacks {
		table := &viz.Table{
			Title:  fmt.Sprintf("Accuracy in %% on %d images, made by %s (%s, ε = %.4g) for the network of the row", t.N, a.Name, a.Norm, a.Eps),
			Header: append([]string{"made for"}, t.Models...),
		}
		clean := []string{"(clean images)"}
		for _, c := range t.Clean {
			clean = append(clean, percents(c.Accuracy))
		}
		table.Rows = append(table.Rows, clean)
		for s, row := range a.Accuracy {
			cells := []string{t.Models[s]}
			for _, v := range row {
				cells = append(cells, percents(v))
			}
			table.Rows = append(table.Rows, cells)
		}
		tables = append(tables, table)
	}
	tables[0].Notes = t.Warnings
	return tables
}

// Pictures has the success rates of each attack: the share of those fooled among the images that both networks get right
// while clean.
func (t *Transfer) Pictures() ([]Picture, error) {
	var pictures []Picture
	for _, a := range t.Attacks {
		values, known := make([][]float64, len(a.Success)), false
		for s, row := range a.Success {
			for _, v := range row {
				values[s] = append(values[s], 100*float64(v))
				known = known || !math.IsNaN(float64(v))
			}
		}
		if !known {
			continue // no two networks get the same image right
		}
		f, err := viz.Heatmap(viz.HeatmapOptions{
			Title: "Fooled, of the images that both get right (%): " + a.Name, Rows: t.Models, Cols: t.Models, Range: [2]float64{0, 100},
			YLabel: "made for", XLabel: "shown to", ColorLabel: "fooled (%)", Format: "%.1f",
		}, values)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, Picture{a.Name, f})
	}
	return pictures, nil
}
