package viz_test

import (
	"fmt"
	"os"
	"path/filepath"

	"cure/viz"
)

func ExampleCurves() {
	fig, err := viz.Curves(
		viz.CurvesOptions{Title: "Robust overfitting", XLabel: "epoch", YLabel: "robust accuracy (%)"},
		viz.Series{Name: "TRADES", Y: []float64{35, 48, 52, 49, 46}, Std: []float64{2, 1, 1, 1, 1}},
		viz.Series{Name: "CURE", Y: []float64{33, 49, 54, 54, 54}, Std: []float64{2, 1, 1, 1, 1}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "viz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	fmt.Println(viz.Save(fig, filepath.Join(dir, "overfitting.png")), fig.Image().Bounds().Max)
	// Output: <nil> (850,510)
}

func ExampleImageGrid() {
	pixels := make([]uint8, 10*32*32*3) // ten CIFAR images [10, 32, 32, 3]
	images, err := viz.Uint8Images(pixels, 32, 32, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = viz.ImageGrid(viz.ImageGridOptions{Captions: []string{"cat", "dog"}}, images)
	fmt.Println(err)
	// Output: viz: image grid: 2 captions for 10 images: want as many, or none
}

func ExampleLive() {
	live := viz.NewLive(viz.LiveOptions{
		Panels: map[string]viz.CurvesOptions{"loss": {XLabel: "epoch", LogY: true}},
	})
	for epoch, loss := range []float64{2.3, 1.1, 0.6, 0.4} {
		live.Add("loss", "train", float64(epoch), loss)
	}
	fig, err := live.Close() // in a notebook the picture is already there
	fmt.Println(fig.Image().Bounds().Max, err)
	// Output: (850,510) <nil>
}
