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

// FairnessOptions are the settings of [MeasureFairness].
type FairnessOptions struct {
	Attacks []attacks.Attack `json:"attacks"`
	Seed    uint64           `json:"seed"`
}

// DefaultFairness has PGD-20.
func DefaultFairness() FairnessOptions {
	list, _ := attacks.ParseList("pgd20") // which exists
	return FairnessOptions{Attacks: list}
}

// Fairness has the accuracies of networks class by class.
type Fairness struct {
	Attacks  []string          `json:"attacks"`
	Classes  []string          `json:"classes"`
	Counts   []int             `json:"counts"` // images of each class
	Networks []NetworkFairness `json:"networks"`
}

// NetworkFairness has the shares of clean images classified correctly, and of those that stay so under every attack.
type NetworkFairness struct {
	Name   string        `json:"name"`
	Clean  ClassAccuracy `json:"clean"`
	Robust ClassAccuracy `json:"robust"`
}

// ClassAccuracy is an accuracy by classes. Benz et al. (2021, arXiv 2010.13365) and Xu et al. (2021, arXiv 2010.06121)
// found that adversarial training widens the spread.
type ClassAccuracy struct {
	Mean     float64   `json:"mean"`     // over all images
	PerClass []float64 `json:"classes"`  // 0 for a class without images
	Worst    int       `json:"worst"`    // the class of the lowest accuracy, the first of equals, among those with images
	Best     int       `json:"best"`     // the class of the highest accuracy, the first of equals
	Spread   float64   `json:"spread"`   // best less worst
	Deviates float64   `json:"deviates"` // standard deviation over the classes with images
}

// MeasureFairness attacks networks and counts class by class.
func MeasureFairness(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o FairnessOptions) (*Fairness, error) {
	if err := checkAttacked(nets, set, o.Attacks...); err != nil {
		return nil, err
	}
	f := &Fairness{Classes: set.Classes, Counts: make([]int, len(set.Classes))}
	for i, y := range set.Labels {
		if int(y) >= len(set.Classes) {
			return nil, fmt.Errorf("analysis: label %d of image %d: the set names %d classes", y, i, len(set.Classes))
		}
		f.Counts[y]++
	}
	for _, a := range o.Attacks {
		f.Attacks = append(f.Attacks, a.Name)
	}
	attack := newEvaluator(set)
	defer attack.Close()
	var err error
	f.Networks, err = measureEach(device, nets, func(_ int, s *subject) (n NetworkFairness, err error) {
		r, err := attack.evaluate(ctx, s, set, o.Attacks, attacks.Options{Seed: int64(o.Seed)})
		if err != nil {
			return n, err
		}
		return NetworkFairness{s.Name, byClass(r.Clean.Flags, set.Labels, len(f.Classes)), byClass(r.RobustFlags, set.Labels, len(f.Classes))}, nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// byClass counts verdicts; there is at least one.
func byClass(right []bool, labels []int32, classes int) ClassAccuracy {
	a := ClassAccuracy{PerClass: make([]float64, classes), Worst: -1, Best: -1}
	counts := make([]float64, classes)
	for i, y := range labels {
		counts[y]++
		if right[i] {
			a.PerClass[y]++
			a.Mean += 1 / float64(len(labels))
		}
	}
	var present []float64
	for k, n := range counts {
		if n == 0 {
			continue
		}
		a.PerClass[k] /= n
		present = append(present, a.PerClass[k])
		if a.Worst < 0 || a.PerClass[k] < a.PerClass[a.Worst] {
			a.Worst = k
		}
		if a.Best < 0 || a.PerClass[k] > a.PerClass[a.Best] {
			a.Best = k
		}
	}
	a.Spread = a.PerClass[a.Best] - a.PerClass[a.Worst]
	for _, v := range present {
		a.Deviates += (v - average(present)) * (v - average(present)) / float64(len(present))
	}
	a.Deviates = math.Sqrt(a.Deviates)
	return a
}

// Tables has the spread of clean and robust accuracy, and the accuracies class by class.
func (f *Fairness) Tables() []*viz.Table {
	total := 0
	for _, n := range f.Counts {
		total += n
	}
	spread := &viz.Table{
		Title:  fmt.Sprintf("Accuracy by classes in %%, %d images", total),
		Header: []string{"network", "images", "all", "worst class", "", "best class", "", "spread", "deviation"},
		Notes:  []string{fmt.Sprintf("attacked: right on the clean image and under every one of %v", f.Attacks)},
	}
	classes := &viz.Table{Title: "Class by class, in %", Header: append([]string{"network", "images"}, f.Classes...)}
	for _, n := range f.Networks {
		for _, kind := range []struct {
			name string
			a    ClassAccuracy
		}{{"clean", n.Clean}, {"attacked", n.Robust}} {
			spread.Rows = append(spread.Rows, []string{n.Name, kind.name, percents(kind.a.Mean), f.Classes[kind.a.Worst], percents(kind.a.PerClass[kind.a.Worst]),
				f.Classes[kind.a.Best], percents(kind.a.PerClass[kind.a.Best]), percents(kind.a.Spread), percents(kind.a.Deviates)})
			row := []string{n.Name, kind.name}
			for k, v := range kind.a.PerClass {
				cell := "–"
				if f.Counts[k] > 0 {
					cell = percents(v)
				}
				row = append(row, cell)
			}
			classes.Rows = append(classes.Rows, row)
		}
	}
	return []*viz.Table{spread, classes}
}

// Pictures are bars of clean and of robust accuracy, with the standard error sqrt(a(1-a)/n) of a share of n images.
func (f *Fairness) Pictures() ([]Picture, error) {
	var pictures []Picture
	for _, kind := range []struct {
		name, title string
		of          func(NetworkFairness) ClassAccuracy
	}{
		{"clean", "Clean accuracy by classes", func(n NetworkFairness) ClassAccuracy { return n.Clean }},
		{"attacked", "Robust accuracy by classes", func(n NetworkFairness) ClassAccuracy { return n.Robust }},
	} {
		var bars []viz.BarSeries
		for _, n := range f.Networks {
			s := viz.BarSeries{Name: n.Name}
			for k, v := range kind.of(n).PerClass {
				s.Values = append(s.Values, 100*v)
				s.Err = append(s.Err, 100*math.Sqrt(v*(1-v)/math.Max(float64(f.Counts[k]), 1)))
				if f.Counts[k] == 0 {
					s.Values[k] = math.NaN()
				}
			}
			bars = append(bars, s)
		}
		figure, err := viz.Bars(viz.BarsOptions{Title: kind.title, YLabel: "accuracy (%)", YRange: [2]float64{0, 100}, Format: "%.0f", NoValues: true, Width: 18}, f.Classes, bars...)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, Picture{kind.name, figure})
	}
	return pictures, nil
}
