package analysis

import (
	"math"
	"slices"
	"strings"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/similarity"
	"cure/data"
)

// TestInvert: from the image itself nothing moves; from another one the representation comes close.
func TestInvert(t *testing.T) {
	net, set := looker(t, "a", 2, 5), lookedAt(t, 3)
	device, images := mltest.GoBackend(t), pixels(set.Images)
	opt, err := Inversion{Layer: "layer2.1", Steps: 60, StepSize: 0.5, Batch: 2}.check()
	if err != nil {
		t.Fatal(err)
	}
	v := newInverter(opt)
	defer v.Close()
	s := seat(device, net)
	defer s.free()
	v.Steps = 3
	found, distance, err := v.invert(t.Context(), s, images, images)
	if err != nil {
		t.Fatal(err)
	}
	mltest.Close(t, "images that are there already", found, images, 0, 0)
	mltest.Close(t, "their distances", distance, []float64{0, 0, 0}, 0, 0)

	r, err := Invert(t.Context(), device, []Network{net}, set, opt)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := similarity.Activations(device, net.State, images, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	block, closest := layers[4], 1.
	for i := range 3 {
		target, start := rowOf(block.Values, i, 3), rowOf(block.Values, (i+1)%3, 3)
		var difference, length float64
		for k := range target {
			difference += math.Pow(float64(start[k])-float64(target[k]), 2)
			length += math.Pow(float64(target[k]), 2)
		}
		n := r.Networks[0]
		if want := math.Sqrt(difference / length); math.Abs(n.Start[i]-want) > 1e-4 {
			t.Errorf("image %d starts at distance %v, want %v", i, n.Start[i], want)
		}
		left := n.Representation[i] / n.Start[i]
		if closest = min(closest, left); left > 0.95 {
			t.Errorf("image %d: distance %v from %v", i, n.Representation[i], n.Start[i])
		}
		if !slices.Equal(rowOf(r.Starts, i, 3), rowOf(r.Targets, (i+1)%3, 3)) {
			t.Errorf("image %d does not start at the next one", i)
		}
	}
	if closest > 0.5 {
		t.Errorf("no image came nearer than to %v of the distance it began with", closest)
	}
	checkLook(t, r)
	for _, c := range []struct {
		opt  Inversion
		want string
	}{{Inversion{Layer: "layer9.9", Steps: 1}, `no layer "layer9.9"`}, {Inversion{Steps: -1}, "-1 steps"}, {Inversion{StepSize: math.NaN()}, "NaN"}} {
		if _, err := Invert(t.Context(), device, []Network{net}, set, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// lossesOf are the cross-entropies of images, in float64 from logits of the network.
func lossesOf(t *testing.T, net Network, images []float32, labels []int32) []float64 {
	t.Helper()
	layers, err := similarity.Activations(mltest.GoBackend(t), net.State, images, len(labels), true)
	if err != nil {
		t.Fatal(err)
	}
	logits := layers[len(layers)-1].Values
	losses := make([]float64, len(labels))
	for i, y := range labels {
		z := rowOf(logits, i, len(labels))
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(float64(v))
		}
		losses[i] = math.Log(sum) - float64(z[y])
	}
	return losses
}

// TestGradients: finite differences along the gradient and along a random direction, and measures of known images.
func TestGradients(t *testing.T) {
	net, set := looker(t, "a", 2, 6), lookedAt(t, 4)
	images := pixels(set.Images)
	p, s := newInputGradient(), seat(mltest.GoBackend(t), net)
	defer p.Close()
	defer s.free()
	g, err := inputGradients(t.Context(), p, s, images, set.Labels, 3)
	if err != nil {
		t.Fatal(err)
	}
	rng := data.Stream(1, "direction")
	for _, along := range []string{"gradient", "random"} {
		direction := slices.Clone(g)
		if along == "random" {
			for i := range direction {
				direction[i] = float32(rng.NormFloat64()) * max(g[i], -g[i])
			}
		}
		const h = 0.002 // L2 length of the step of each image
		up, down := slices.Clone(images), slices.Clone(images)
		want := make([]float64, 4)
		for i := range 4 {
			d := rowOf(direction, i, 4)
			length := length(d)
			for k, v := range d {
				unit := float64(v) / length
				up[i*imageValues+k] += float32(h * unit)
				down[i*imageValues+k] -= float32(h * unit)
				want[i] += unit * float64(g[i*imageValues+k])
			}
		}
		high, low := lossesOf(t, net, up, set.Labels), lossesOf(t, net, down, set.Labels)
		got := make([]float64, 4)
		for i := range got {
			got[i] = (high[i] - low[i]) / (2 * h)
		}
		mltest.Close(t, "slope along the "+along, got, want, 2e-3, 0.03)
	}
	r, err := MapInputGradients(t.Context(), mltest.GoBackend(t), []Network{net}, set, 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Networks[0]; len(n.Maps) != 2*imageValues || n.Alignment <= 0 || n.Alignment > 1 || n.Smooth <= 0 || n.Smooth > 1 || n.Length <= 0 {
		t.Errorf("%d values of maps, alignment %v, smooth %v, length %v", len(n.Maps), n.Alignment, n.Smooth, n.Length)
	}
	checkLook(t, r)
	if _, err := MapInputGradients(t.Context(), nil, []Network{net}, set, 5, 4); err == nil {
		t.Error("5 of 4 images shown is no error")
	}
}

func TestGradientMeasures(t *testing.T) {
	rng := data.Stream(2, "noise")
	noise, wave, x := make([]float32, imageValues), make([]float32, imageValues), make([]float32, imageValues)
	var squares float64
	for i := range noise {
		noise[i] = float32(rng.NormFloat64())
		wave[i] = float32(math.Cos(math.Pi * (float64(i/96) + 0.5) * 20 / 32)) // 20 half-waves down
		x[i] = 0.3 + 0.2*noise[i]
		squares += float64(noise[i]) * float64(noise[i])
	}
	flat := slices.Repeat([]float32{0.7}, imageValues)
	for _, c := range []struct {
		name      string
		got, want float64
		atMost    float64
	}{
		{"alignment with the noise of an image", alignment(x, noise), 1, 1e-3},
		{"with its opposite", alignment(x, scaled(noise, -2)), 1, 1e-3},
		{"with other noise", alignment(x, wave), 0, 0.06},
		{"of a flat image", alignment(flat, noise), 0, 0},
		{"with no gradient", alignment(x, make([]float32, imageValues)), 0, 0},
		{"low frequencies of a flat image", lowFrequencies(flat, 8), 1, 1e-5},
		{"of a fast wave", lowFrequencies(wave, 8), 0, 1e-5},
		{"of all frequencies", lowFrequencies(noise, 32), 1, 1e-5},
		{"of white noise", lowFrequencies(noise, 8), 1. / 16, 0.02},
		{"of nothing", lowFrequencies(make([]float32, imageValues), 8), 0, 0},
	} {
		if math.Abs(c.got-c.want) > c.atMost {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	spread := contrast(append(make([]float32, 99), 1)) // mean 0.01, deviation √0.0099
	if want := uint8(255*(0.5-0.01/(6*math.Sqrt(0.0099))) + 0.5); spread[0] != want || spread[99] != 255 {
		t.Errorf("contrast: %d and %d, want %d and 255", spread[0], spread[99], want)
	}
	if flat := contrast(make([]float32, 3)); flat[0] != 128 {
		t.Errorf("contrast of nothing: %v, want grey", flat)
	}
}

func scaled(v []float32, by float32) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = by * x
	}
	return out
}

// TestGradCAM: where pooling and a linear layer follow the block, α_k = W_kc/(h·w), and the map is the class activation map
// of Zhou et al. (2016).
func TestGradCAM(t *testing.T) {
	net, set := looker(t, "a", 2, 7), lookedAt(t, 5)
	device, images := mltest.GoBackend(t), pixels(set.Images)
	layers, err := similarity.Activations(device, net.State, images, 5, false)
	if err != nil {
		t.Fatal(err)
	}
	last, w := layers[8], net.Values["linear.weight"] // [4, 4, 16] an image; [16, 10]
	c := newCamera("", 2)
	defer c.Close()
	s := seat(device, net)
	defer s.free()
	a, err := c.look(t.Context(), s, images, set.Labels)
	if err != nil {
		t.Fatal(err)
	}
	if want := (block{"layer4.1", [2]int{4, 4}}); len(a.maps) != 5 || c.blocks[s.form] != want {
		t.Fatalf("%d maps of %v, want 5 of %v", len(a.maps), c.blocks, want)
	}
	positive := 0
	for i, y := range set.Labels {
		want := make([]float64, 16)
		for place := range want {
			for k := range 16 {
				want[place] += float64(rowOf(last.Values, i, 5)[place*16+k]) * float64(w[k*10+int(y)]) / 16
			}
			if want[place] = max(want[place], 0); want[place] > 0 {
				positive++
			}
		}
		mltest.Close(t, "map", a.maps[i], want, 1e-6, 1e-4)
	}
	if positive < 8 {
		t.Errorf("%d places above 0: the images test nothing", positive)
	}
	mltest.Close(t, "logits", a.logits, layers[9].Values, 1e-5, 1e-5)

	r, err := GradCAM(t.Context(), device, []Network{net}, set, AttentionOptions{Layer: "layer3.1", Attack: shortAttack(0), Shown: 2, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	n := r.Networks[0]
	if n.Size != [2]int{8, 8} || n.Layer != "layer3.1" || len(n.Clean) != 2 || math.Abs(n.Kept-(1-n.Blank)) > 1e-6 || !slices.Equal(n.Seen, n.SeenAttacked) {
		t.Errorf("under an attack of size 0: maps of %v of %s, kept %v, blank %v, seen %v and %v", n.Size, n.Layer, n.Kept, n.Blank, n.Seen, n.SeenAttacked)
	}
	checkLook(t, r)
	if _, err := GradCAM(t.Context(), device, []Network{net}, set, AttentionOptions{Layer: "logits", Attack: shortAttack(0)}); err == nil || !strings.Contains(err.Error(), `no block "logits"`) {
		t.Errorf("the logits as a block: %v", err)
	}
	if _, err := GradCAM(t.Context(), nil, []Network{net}, set, AttentionOptions{Shown: 6}); err == nil {
		t.Error("6 of 5 images shown is no error")
	}
}

func TestEnlarge(t *testing.T) {
	full := make([]float64, 32*32)
	for i := range full {
		full[i] = float64(i)
	}
	for i, v := range enlarge(full, 32, 32) {
		if math.Abs(float64(v)-float64(i)/1023) > 1e-6 {
			t.Fatalf("place %d of a map of full size: %v", i, v)
		}
	}
	m := enlarge([]float64{0, 2, 0, 2}, 2, 2) // centres at 7.5 and 23.5
	for x, want := range map[int]float64{0: 0, 7: 0, 12: 0.28125, 15: 0.46875, 16: 0.53125, 24: 1, 31: 1} {
		if got := float64(m[20*32+x]); math.Abs(got-want) > 1e-6 {
			t.Errorf("column %d: %v, want %v", x, got, want)
		}
	}
	for _, v := range enlarge([]float64{0, 0, 0, 0}, 2, 2) {
		if v != 0 {
			t.Fatal("a blank map is not blank")
		}
	}
	if c := correlation([]float64{1, 2, 4}, []float64{3, 5, 9}); math.Abs(c-1) > 1e-12 {
		t.Errorf("correlation of a map and a linear function of it: %v", c)
	}
	if c := correlation([]float64{1, 2, 4}, []float64{2, 2, 2}); c != 0 {
		t.Errorf("correlation with a flat map: %v", c)
	}
}
