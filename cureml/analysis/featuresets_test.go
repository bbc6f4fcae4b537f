package analysis

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/similarity"
	"cure/cureml/weights"
	"cure/data"
)

// TestLearnFeatures: the labels and the distances of the sets are what they should be, the networks see in them what they
// were made for, and what learned is measured as attacks.Evaluate does.
func TestLearnFeatures(t *testing.T) {
	natural, robust, train, test := discerning(t, looker(t, "nat", 2, 8)), discerning(t, looker(t, "rob", 2, 9)), lookedAt(t, 8), lookedAt(t, 4)
	device := mltest.GoBackend(t)
	perturb := attacks.PGD{Ball: attacks.Ball{Norm: attacks.L2, Eps: 3}, Steps: 8, StepSize: 1, Loss: "ce"}
	opt := FeatureSetOptions{Sets: FeatureSetNames(), Inversion: Inversion{Steps: 12, StepSize: 1}, Perturb: perturb, Batch: 5, Shown: 3,
		Evaluate: []attacks.Attack{shortAttack(0.01)}, Keep: filepath.Join(t.TempDir(), "sets")}
	made := map[string]*data.Set{}
	learn := func(_ context.Context, name string, set *data.Set) (Network, error) {
		made[name] = set
		return natural, nil
	}
	f, err := LearnFeatures(t.Context(), device, robust, natural, train, test, opt, learn)
	if err != nil {
		t.Fatal(err)
	}
	report, err := attacks.Evaluate(t.Context(), cureml.HostModel(device, natural.State), test.Images, test.Labels, opt.Evaluate, attacks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]FeatureSet{}
	for _, s := range f.Sets {
		sets[s.Name] = s
		if s.Clean != report.Clean.Accuracy || len(s.Attacked) != 1 || s.Attacked[0] != report.RobustAccuracy {
			t.Errorf("%s: accuracy %v and %v, want %v and %v", s.Name, s.Clean, s.Attacked, report.Clean.Accuracy, report.RobustAccuracy)
		}
		if made[s.Name].Len() != 8 || !slices.Equal(s.Shown, made[s.Name].Images[:3*imageValues]) {
			t.Errorf("%s: %d images, shown are others", s.Name, made[s.Name].Len())
		}
	}
	if o := sets[OriginalSet]; !reflect.DeepEqual(made[OriginalSet], train) || o.Change != 0 || o.NaturalSees != o.NaturalSeesOriginal {
		t.Errorf("original: changed by %v, labels %v, original classes %v", o.Change, o.NaturalSees, o.NaturalSeesOriginal)
	}
	for _, name := range []string{RobustSet, InvertedSet} {
		if !slices.Equal(made[name].Labels, train.Labels) || sets[name].Change < 3 {
			t.Errorf("%s: other labels, or images that moved by %v from other ones", name, sets[name].Change)
		}
	}
	if reflect.DeepEqual(made[RobustSet].Images, made[InvertedSet].Images) {
		t.Error("the sets of both networks are the same")
	}
	for i, y := range made[ShiftedSet].Labels {
		if y != (train.Labels[i]+1)%10 {
			t.Errorf("image %d of class %d has label %d", i, train.Labels[i], y)
		}
	}
	for _, name := range []string{PerturbedSet, ShiftedSet} {
		s := sets[name]
		rounding := math.Sqrt(imageValues) / 510
		if s.NaturalSees < 0.6 || s.NaturalSeesOriginal > s.NaturalSees || s.Change > 3+rounding || s.Change < 0.1 {
			t.Errorf("%s: the natural network sees %v labels and %v original classes after changes by %v", name, s.NaturalSees, s.NaturalSeesOriginal, s.Change)
		}
	}
	checkLook(t, f)
	checkKept(t, f, robust, natural, train, test, opt)
}

// discerning gives a network with random weights a classifier that tells images apart: each logit gets mean 0 and deviation 1
// over some images.
func discerning(t *testing.T, net Network) Network {
	t.Helper()
	const n = 24
	layers, err := similarity.Activations(mltest.GoBackend(t), net.State, pixels(lookedAt(t, n).Images), n, true)
	if err != nil {
		t.Fatal(err)
	}
	logits, w, b := layers[len(layers)-1].Values, net.Values["linear.weight"], net.Values["linear.bias"]
	for c := range b {
		var mean, squares float64
		for i := range n {
			z := float64(logits[i*len(b)+c])
			mean += z / n
			squares += z * z / n
		}
		scale := 1 / math.Sqrt(squares-mean*mean)
		b[c] = float32((float64(b[c]) - mean) * scale)
		for k := c; k < len(w); k += len(b) {
			w[k] *= float32(scale)
		}
	}
	return net
}

// checkKept: sets are read from their files, which must fit.
func checkKept(t *testing.T, f *FeatureSets, robust, natural Network, train, test *data.Set, opt FeatureSetOptions) {
	t.Helper()
	run := func() (*FeatureSets, error) {
		return LearnFeatures(t.Context(), mltest.GoBackend(t), robust, natural, train, test, opt, func(context.Context, string, *data.Set) (Network, error) { return natural, nil })
	}
	opt.Sets = []string{RobustSet}
	again, err := run()
	if err != nil || !reflect.DeepEqual(again.Sets[0], f.Sets[1]) {
		t.Fatalf("another time: another set, or %v", err)
	}
	files, err := filepath.Glob(filepath.Join(opt.Keep, RobustSet+"-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	d, err := weights.Read(files[0])
	if err != nil {
		t.Fatal(err)
	}
	images, _ := d.Get("images")
	images.Data[0] ^= 255
	if err := weights.WriteSafetensors(files[0], d); err != nil {
		t.Fatal(err)
	}
	if again, err = run(); err != nil || again.Sets[0].Shown[0] != f.Sets[1].Shown[0]^255 {
		t.Errorf("a changed file is not what is read, or %v", err)
	}
	steps := opt.Inversion.Steps
	opt.Inversion.Steps = 1
	if again, err = run(); err != nil || again.Sets[0].Shown[0] == f.Sets[1].Shown[0]^255 {
		t.Errorf("with other settings the old file is read, or %v", err)
	}
	opt.Inversion.Steps = steps
	for _, damage := range []func() error{
		func() error {
			images.Data, images.Shape = images.Data[:imageValues], []int{1, 32, 32, 3}
			d.Set("images", images)
			return weights.WriteSafetensors(files[0], d)
		},
		func() error { return os.WriteFile(files[0], []byte("x"), 0o644) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := run(); err == nil || !strings.Contains(err.Error(), RobustSet) {
			t.Errorf("a damaged file: %v", err)
		}
	}
}

func TestLearnFeaturesRefuses(t *testing.T) {
	net, set := looker(t, "a", 2, 1), lookedAt(t, 4)
	for _, c := range []struct {
		opt  FeatureSetOptions
		want string
	}{
		{FeatureSetOptions{Sets: []string{"soft"}}, `training set "soft": want each of original, robust`},
		{FeatureSetOptions{Sets: []string{RobustSet, RobustSet}}, "once at most"},
		{FeatureSetOptions{Batch: -1}, "batches of -1"},
		{FeatureSetOptions{Inversion: Inversion{StepSize: -1}}, "30 steps of -1"},
		{FeatureSetOptions{Perturb: attacks.PGD{Steps: 1, Loss: "hinge"}}, `loss "hinge"`},
		{FeatureSetOptions{Perturb: attacks.PGD{Steps: 1, Loss: "ce", Target: attacks.LeastLikely}}, "want none"},
	} {
		if _, err := LearnFeatures(t.Context(), nil, net, net, set, set, c.opt, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// TestLookAtFeatures: the parts look at the same images.
func TestLookAtFeatures(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles nine graphs")
	}
	nets, set := []Network{looker(t, "a", 1, 1), looker(t, "b", 1, 2)}, lookedAt(t, 4)
	f, err := LookAtFeatures(t.Context(), mltest.GoBackend(t), nets, set, FeatureOptions{Shown: 3, Batch: 4, Visual: VisualOptions{Channels: 2, Steps: 2},
		Inversion: Inversion{Steps: 2}, Attention: AttentionOptions{Attack: shortAttack(0.01), Batch: 4}})
	if err != nil {
		t.Fatal(err)
	}
	want := set.Images[:3*imageValues]
	if !slices.Equal(f.Inversions.Targets, want) || !slices.Equal(f.Gradients.Shown, want) || !slices.Equal(f.Attention.Shown, want) {
		t.Error("the parts show other images")
	}
	if f.Gradients.N != 4 || f.Attention.N != 4 || f.Visuals.N != 4 {
		t.Error("the parts measure other images")
	}
	checkLook(t, f)
}
