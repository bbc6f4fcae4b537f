package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cure/cureml/bench"
	"cure/viz"
)

func newBenchScaling() *cobra.Command {
	var f benchFlags
	var devices, png string
	var middle bench.ScalingRequest
	cmd := &cobra.Command{
		Use:   "scaling",
		Short: "Time a training step as its images, width, attack steps and devices grow",
		Long: `Time a training step of TRADES, with 10 attack steps on one device if nothing else is said, and what becomes of it when
one of these grows: images (a quarter, a half, once and twice --batch), width (a half to four times --width), attack
steps (1 to 20), devices. The picture has a panel for each.`,
		Example: `  cure bench scaling --steps 5 --most 5m --json scaling.json --png scaling.png`,
		Args:    noArgs,
	}
	fs := cmd.Flags()
	f.measuring(fs)
	fs.StringVar(&middle.Arch, "arch", "resnet18", "architecture")
	fs.IntVar(&middle.Width, "width", 16, "base width of the middle")
	fs.IntVar(&middle.Batch, "batch", 64, "images of the middle")
	fs.StringVar(&devices, "devices", "1,2", "numbers of devices, with commas between")
	fs.StringVar(&png, "png", "", "file for the picture")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if err := checkOutput("png", png); err != nil {
			return err
		}
		if png != "" && !strings.EqualFold(filepath.Ext(png), ".png") {
			return usage("--png: %s: want a name that ends with .png", png)
		}
		numbers, err := parseCounts("devices", devices)
		if err != nil {
			return err
		}
		middle.Attack, middle.Devices, middle.Backend = []int{1, 2, 5, 10, 20}, numbers, f.backend
		for _, n := range numbers {
			if n < 1 || n > 64 {
				return usage("--devices %d: want 1 to 64", n)
			}
		}
		groups, err := bench.Scaling(middle)
		if err != nil {
			return usageError{err}
		}
		result, err := f.run(cmd, groups)
		if err != nil || png == "" {
			return err
		}
		figure, err := scalingFigure(middle, result)
		if err != nil {
			return err
		}
		return viz.Save(figure, png)
	}
	return cmd
}

// scalingFigure has a panel for each direction: measured seconds, and the line on which they would grow in proportion.
func scalingFigure(middle bench.ScalingRequest, r *bench.Result) (*viz.Figure, error) {
	var panels []*viz.Figure
	for i, d := range bench.Directions {
		measured, even := viz.Series{Name: "measured"}, viz.Series{Name: "in proportion", Dashed: true}
		line := bench.Along(middle, r.Rows, i)
		for _, row := range line {
			x := float64(d.Of(row))
			measured.X, measured.Y = append(measured.X, x), append(measured.Y, row.SecondsMedian)
			grown := x / float64(d.Of(line[0]))
			switch d.Name {
			case "width":
				grown *= grown
			case "devices":
				grown = 1 / grown
			}
			even.X, even.Y = append(even.X, x), append(even.Y, line[0].SecondsMedian*grown)
		}
		panel, err := viz.Curves(viz.CurvesOptions{Title: d.Name, XLabel: d.Name, YLabel: "seconds of a step", LogX: true, LogY: true, Markers: true}, measured, even)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		panels = append(panels, panel)
	}
	return viz.Grid(2, panels...)
}
