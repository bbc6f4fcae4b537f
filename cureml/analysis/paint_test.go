package analysis

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/similarity"
	"cure/data"
)

// painting is the image [32, 32, 3] of a spectrum, by the graph.
func painting(t *testing.T, spectrum []float32) []float32 {
	t.Helper()
	p := newPainter(VisualOptions{})
	defer p.Close()
	out, err := p.final.run(t.Context(), nobody(t), tensors.FromFlatDataAndDimensions(spectrum, 1, side32, side32, 3))
	if err != nil {
		t.Fatal(err)
	}
	v, err := take[float32](out[0])
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// nobody is no network, for programs that need none.
func nobody(t *testing.T) *subject {
	return &subject{Model: attacks.Model{Backend: mltest.GoBackend(t)}}
}

// TestPainted: no spectrum is grey, and a single frequency is the cosine that it stands for, in the colours of its channel.
func TestPainted(t *testing.T) {
	for i, v := range painting(t, make([]float32, imageValues)) {
		if v != 0.5 {
			t.Fatalf("value %d of no spectrum is %v, want grey", i, v)
		}
	}
	const fy, fx, channel, size = 3, 5, 1, 2.0
	spectrum := make([]float32, imageValues)
	spectrum[(fy*side32+fx)*3+channel] = size
	got := painting(t, spectrum)
	// norm of column 0 of lucid's colour matrix, the longest
	longest := math.Sqrt(0.26*0.26 + 2*0.27*0.27)
	want := make([]float64, imageValues)
	for y := range side32 {
		for x := range side32 {
			wave := size / 4 / (math.Hypot(fy, fx) / 64) * 2 / 32 *
				math.Cos(math.Pi*(float64(y)+0.5)*fy/32) * math.Cos(math.Pi*(float64(x)+0.5)*fx/32)
			for c, share := range []float64{0.09, 0, -0.09} {
				want[(y*side32+x)*3+c] = 1 / (1 + math.Exp(-wave*share/longest))
			}
		}
	}
	mltest.Close(t, "a single frequency", got, want, 1e-6, 0)
}

// TestGlance: looking straight ahead changes nothing, moving by whole pixels moves them, and glances never make light.
func TestGlance(t *testing.T) {
	for i, v := range resample(1, 0) {
		want := float32(0)
		if i/side32 == i%side32 {
			want = 1
		}
		if v != want {
			t.Fatalf("entry %d of no movement is %v, want %v", i, v, want)
		}
	}
	moved := resample(1, 3)
	for i := range side32 {
		if moved[i*side32+min(i+3, side32-1)] != 1 {
			t.Errorf("row %d of a movement by 3 does not see place %d", i, min(i+3, side32-1))
		}
	}
	rng := data.Stream(1, "glance")
	for range 50 {
		rows, cols := glance(rng, 4, 0.3)
		if slices.Equal(rows, cols) {
			t.Error("rows and columns move together")
		}
		for i := range side32 {
			sum := float32(0)
			for _, v := range rows[i*side32 : (i+1)*side32] {
				sum += v
				if v < 0 {
					t.Fatalf("a weight of %v", v)
				}
			}
			if math.Abs(float64(sum)-1) > 1e-6 {
				t.Errorf("row %d sums to %v", i, sum)
			}
		}
	}
}

// TestAscend paints for a linear unit, <w, x>, whose largest value over [0, 1] is known: Σ max(w, 0).
func TestAscend(t *testing.T) {
	weights := make([]float32, imageValues)
	best := 0.0
	for y := range side32 {
		for x := range side32 {
			for c := range 3 {
				w := math.Cos(math.Pi * (float64(y) + 0.5) * 2 / 32)
				weights[(y*side32+x)*3+c] = float32(w)
				best += max(w, 0)
			}
		}
	}
	scores := map[float64]float64{}
	variations := map[float64]float64{}
	for _, penalty := range []float64{-1, 1e5} {
		opt, err := VisualOptions{Steps: 120, Rate: 1, Jitter: -1, Zoom: -1, Variation: penalty}.check()
		if err != nil {
			t.Fatal(err)
		}
		p := newPainter(opt)
		defer p.Close()
		step := p.towards(func(_ *subject, _ []*Node, x *Node) *Node { return Reshape(x, x.Shape().Dim(0), -1) })
		defer step.Close()
		images, err := p.optimise(t.Context(), nobody(t), 1, "linear", startNoise[0], step, tensors.FromFlatDataAndDimensions(weights, 1, imageValues))
		if err != nil {
			t.Fatal(err)
		}
		x := pixels(images[0])
		for i, v := range x {
			scores[penalty] += float64(v) * float64(weights[i])
			if i >= 3*side32 {
				variations[penalty] += math.Abs(float64(v) - float64(x[i-3*side32]))
			}
		}
	}
	// Adam also walks along frequencies that the unit does not care about, by the signs of rounding errors.
	if scores[-1] < 0.8*best || scores[-1] > best {
		t.Errorf("the unit reaches %v of at most %v", scores[-1], best)
	}
	if variations[1e5] > 0.5*variations[-1] {
		t.Errorf("total variation %v with a penalty and %v without", variations[1e5], variations[-1])
	}
}

// TestAdam: the first step is the rate in the direction of the sign, the second by hand.
func TestAdam(t *testing.T) {
	exec := MustNewExec(mltest.GoBackend(t), func(in []*Node) []*Node {
		p, m, v := adam(in[0], in[1], in[2], in[3], in[4], in[5])
		return []*Node{p, m, v}
	})
	defer exec.Finalize()
	step := func(p, m, v, grad []float32, n float32) [3][]float32 {
		out := exec.MustCall(p, m, v, grad, n, float32(0.1))
		return [3][]float32{out[0].Value().([]float32), out[1].Value().([]float32), out[2].Value().([]float32)}
	}
	one := step([]float32{1, 1}, []float32{0, 0}, []float32{0, 0}, []float32{3, -0.5}, 1)
	mltest.Close(t, "after one step", one[0], []float64{1.1, 0.9}, 1e-5, 0)
	two := step(one[0], one[1], one[2], []float32{-1, -0.5}, 2)
	m, v := (0.9*0.1*3-0.1)/(1-0.81), (0.999*0.001*9+0.001)/(1-0.998001)
	mltest.Close(t, "after two", two[0], []float64{1.1 + 0.1*m/math.Sqrt(v), 0.8}, 1e-4, 0)
}

// TestVisualise: every unit's image excites it more than the mean of real images does, by what another reading of the same
// image says, and the same seed gives the same images.
func TestVisualise(t *testing.T) {
	net, set := looker(t, "a", 2, 4), lookedAt(t, 6)
	opt := VisualOptions{Channels: 2, Steps: 12, Rate: 0.2, Jitter: 1, Zoom: 0.05, Variation: 1}
	v, err := Visualise(t.Context(), mltest.GoBackend(t), []Network{net}, set, opt)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.Layers(), []string{"layer1.1", "layer2.1", "layer3.1", "layer4.1", "logits"}; !slices.Equal(got, want) {
		t.Fatalf("layers %v, want %v", got, want)
	}
	real, err := similarity.Activations(mltest.GoBackend(t), net.State, pixels(set.Images), 6, true)
	if err != nil {
		t.Fatal(err)
	}
	logits := v.Networks[0].Layers[4].Units
	if len(logits) != 10 || logits[3].Name != "cat" {
		t.Fatalf("%d classes, the fourth called %q", len(logits), logits[3].Name)
	}
	var images []uint8
	for _, u := range logits {
		images = append(images, u.Image...)
	}
	after, err := similarity.Activations(mltest.GoBackend(t), net.State, pixels(images), 10, true)
	if err != nil {
		t.Fatal(err)
	}
	for k, u := range logits {
		var mean, most float64 = 0, math.Inf(-1)
		for i := range 6 {
			z := float64(real[9].Values[i*10+k])
			mean, most = mean+z/6, max(most, z)
		}
		if math.Abs(mean-u.Mean) > 1e-5 || math.Abs(most-u.Most) > 1e-5 || math.Abs(float64(after[9].Values[k*10+k])-u.Reached) > 1e-4 {
			t.Errorf("%s: mean %v, most %v, reached %v; read again %v, %v, %v", u.Name, u.Mean, u.Most, u.Reached, mean, most, after[9].Values[k*10+k])
		}
	}
	for _, l := range v.Networks[0].Layers {
		for _, u := range l.Units {
			if u.Score() < 0.5 {
				t.Errorf("%s %d: %v standard deviations above the mean", l.Layer, u.Index, u.Score())
			}
		}
	}
	if opt, err = opt.check(); err != nil {
		t.Fatal(err)
	}
	p, s := newPainter(opt), seat(mltest.GoBackend(t), net)
	defer p.Close()
	defer s.free()
	again, err := p.paint(t.Context(), s, real[9], p.choose(real[9], set), 0, startNoise[0])
	if err != nil || !slices.Equal(again[0], logits[0].Image) {
		t.Errorf("another time: another image, or %v", err)
	}
	louder, err := p.paint(t.Context(), s, real[9], p.choose(real[9], set), 1, startNoise[1])
	if err != nil || slices.Equal(louder[0], again[0]) {
		t.Errorf("from louder noise: the same image, or %v", err)
	}
	// the better image stays
	kept, replaced := logits[0], logits[1]
	kept.Reached, replaced.Reached = math.Inf(1), math.Inf(-1)
	units := append([]Unit{kept, replaced}, logits[2:]...)
	if err := p.excite(t.Context(), s, 9, real[9], units, 1, startNoise[1]); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(units[0].Image, logits[0].Image) || !slices.Equal(units[1].Image, louder[1]) || math.IsInf(units[1].Reached, -1) {
		t.Error("a worse image was taken, or a better one was not")
	}
	checkLook(t, v)
	for _, bad := range []VisualOptions{{Channels: -1}, {Steps: -1}, {Rate: math.NaN()}, {Jitter: 40}, {Zoom: 1}} {
		if _, err := Visualise(t.Context(), nil, []Network{net}, set, bad); err == nil {
			t.Errorf("%+v is no error", bad)
		}
	}
}
