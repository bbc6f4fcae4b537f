package analysis

import (
	"math"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data"
)

// Two classes of an affine classifier share a plane: the nearest point of it is at |f|/‖w‖, and a line crosses it where f
// is zero.
func TestBoundaryOfAffine(t *testing.T) {
	a := newAffine(4, [3]int{2, 3, 3}, 2)
	const n, d = 12, 18
	w, squares, middle := make([]float64, d), 0.0, 0.0
	for i, row := range a.w {
		w[i] = float64(row[0]) - float64(row[1])
		squares += w[i] * w[i]
		middle += w[i] / 2
	}
	a.b[0], a.b[1] = float32(-middle), 0 // the plane goes through the middle of the box
	f := func(x []float64) float64 { z := a.logits(x, nil); return z[0] - z[1] }
	images, _ := greyImages(5, n, d, 2)
	set := &data.Set{Images: make([]uint8, n*d), Labels: make([]int32, n), Classes: []string{"a", "b"}}
	for i, v := range images {
		set.Images[i] = uint8(255 * v)
	}
	images = pixels(set.Images)
	for i := range set.Labels {
		if f(image(images, i, d)) < 0 {
			set.Labels[i] = 1
		}
	}
	set.Labels[3] = 1 - set.Labels[3] // which the classifier then gets wrong
	list, err := attacks.ParseList("fmn-l2,deepfool-l2")
	if err != nil {
		t.Fatal(err)
	}
	o := BoundaryOptions{Attacks: list, Directions: 2, Grid: 7, Refine: 20, Seed: 1}
	targets, err := lineTargets(set, o)
	if err != nil {
		t.Fatal(err)
	}
	p := newWalker(o, set)
	p.attack.size = 5 // the last batch is not full
	defer p.Close()
	found, err := p.measure(t.Context(), a.subject(mltest.GoBackend(t)), set, targets)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Right) != n-1 || len(found.Distances) != 4 {
		t.Fatalf("%d images and %d ways, want %d and 4", len(found.Right), len(found.Distances), n-1)
	}
	reached := 0
	for k, i := range found.Right {
		if i == 3 {
			t.Error("image 3 is wrong and was measured")
		}
		x := image(images, i, d)
		for way, name := range []string{"FMN", "DeepFool"} {
			near(t, name, float64(found.Distances[way][k]), math.Abs(f(x))/math.Sqrt(squares), .02)
		}
		for way, ends := range targets {
			want := math.Inf(1)
			for direction := range ends {
				end, length := image(ends[direction], i, d), 0.0
				for j := range x {
					length += (end[j] - x[j]) * (end[j] - x[j])
				}
				if f(end)*f(x) < 0 {
					want = min(want, math.Sqrt(length)*f(x)/(f(x)-f(end)))
				}
			}
			got := float64(found.Distances[2+way][k])
			if math.IsInf(want, 1) {
				if !math.IsInf(got, 1) {
					t.Errorf("image %d, %d: got %g where the line stays on its side", i, way, got)
				}
				continue
			}
			reached++
			near(t, "along a line", got, want, 1e-3)
			if least := math.Abs(f(x)) / math.Sqrt(squares); got < least*(1-1e-4) {
				t.Errorf("image %d: %g along a line is less than the distance %g", i, got, least)
			}
		}
	}
	if reached < n {
		t.Errorf("only %d lines cross the plane", reached)
	}
}

// Natural lines end at images of other classes.
func TestLineTargets(t *testing.T) {
	set := &data.Set{Images: []uint8{10, 20, 30, 40}, Labels: []int32{0, 1, 0, 1}}
	targets, err := lineTargets(set, BoundaryOptions{Directions: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, natural := range targets[0] {
		for i, v := range natural {
			if from := int(math.Round(255*float64(v)))/10 - 1; set.Labels[from] == set.Labels[i] {
				t.Errorf("image %d moves towards image %d of its class", i, from)
			}
		}
	}
	if targets[1][0][0] == targets[1][1][0] {
		t.Error("two fields of noise are the same")
	}
	set.Labels = []int32{1, 1, 1, 1}
	if _, err := lineTargets(set, BoundaryOptions{Directions: 1}); err == nil {
		t.Error("a single class: got no error")
	}
}

// The first change counts, to the precision of the bisections; padding does not.
func TestFirstChange(t *testing.T) {
	from := []float64{.33, 2, .001, 1}
	got, err := firstChange(6, 4, 10, 16, func(s []float32) ([]bool, error) {
		if len(s) != 6 {
			t.Fatalf("%d rows, want 6", len(s))
		}
		flags := make([]bool, 4)
		for i := range flags {
			flags[i] = float64(s[i]) >= from[i] && !(i == 0 && s[i] > .5) // the first changes back
		}
		return flags, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{.33, math.Inf(1), .001, 1} {
		if got[i] != want && !(math.Abs(got[i]-want) < 1e-5) {
			t.Errorf("row %d: got %g, want %g", i, got[i], want)
		}
	}
}
