package analysis

import (
	"context"
	"encoding/json"
	"errors"
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
	"cure/cureml/nn"
	"cure/cureml/zoo"
	"cure/data"
	"cure/data/corrupt"
	"cure/data/mini"
)

// byGroup are verdicts on four images, of which the first k are wrong: k of the corruption's group at all severities, and
// all four under extra corruptions.
func byGroup(clean int, k map[corrupt.Group]int) wrongs {
	first := func(k int) []bool { return []bool{k > 0, k > 1, k > 2, k > 3} }
	w := wrongs{}
	w.put(cleanImages, 0, first(clean))
	for _, c := range corrupt.All() {
		for s := 1; s <= corrupt.Severities; s++ {
			if c.Extra {
				w.put(c.Name, s, first(4))
			} else {
				w.put(c.Name, s, first(k[c.Group]))
			}
		}
	}
	return w
}

// Sums by hand. Noise has 3 corruptions, the other groups 4.
func TestCorruptionSums(t *testing.T) {
	model := summariseErrors("model", corrupt.All(), byGroup(1, map[corrupt.Group]int{corrupt.Noise: 1, corrupt.Blur: 2, corrupt.Weather: 3, corrupt.Digital: 2}))
	baseline := summariseErrors("baseline", corrupt.All(), byGroup(0, map[corrupt.Group]int{corrupt.Noise: 2, corrupt.Blur: 2, corrupt.Weather: 4, corrupt.Digital: 1}))
	r := &Corruptions{Networks: []CorruptedNetwork{baseline, model}, Names: corruptionNames(corrupt.All()), Baseline: "baseline"}
	r.compare(0)
	model = r.Networks[1]

	// the four images are wrong in 15, 12, 4 and 0 of 15 corruptions: deviations from the mean 31/60 of 29, 17, -15 and -31
	got := []float64{model.Clean.Value, model.Clean.SE, model.Groups[corrupt.Noise].Value, model.Groups[corrupt.Noise].SE,
		model.Groups[corrupt.Weather].Value, model.Mean.Value, model.Mean.SE,
		model.CE.CE["fog"], model.CE.CE["jpeg_compression"], model.CE.Mean, model.RelativeCE.CE["snow"], model.RelativeCE.Mean,
		r.Networks[0].CE.Mean, r.Networks[0].RelativeCE.Mean}
	want := []float64{.25, math.Sqrt(.25 * .75 / 4), .25, math.Sqrt(.25 * .75 / 4), .75, 31. / 60, math.Sqrt(29*29+17*17+15*15+31*31) / 60 / 4,
		.75, 2, (3*.5 + 4*1 + 4*.75 + 4*2) / 15, .5, (3*0 + 4*.5 + 4*.5 + 4*1) / 15., 1, 1}
	mltest.Close(t, "sums", got, want, 1e-12, 0)
	mean, err := corrupt.MeanError(model.Errors)
	if err != nil {
		t.Fatal(err)
	}
	mltest.Close(t, "mean against package corrupt", []float64{model.Mean.Value}, []float64{mean}, 1e-12, 0)
	if y := model.bySeverity(corrupt.Weather); !slices.Equal(y, []float64{75, 25, 25, 25, 25, 25}) {
		t.Errorf("accuracy by severity %v", y)
	}
	if len(r.Notes) > 0 {
		t.Errorf("notes %q", r.Notes)
	}
}

// What cannot be summed up is left out and said.
func TestCorruptionsIncomplete(t *testing.T) {
	noise := slices.DeleteFunc(corrupt.All(), func(c corrupt.Corruption) bool { return c.Group != corrupt.Noise })
	n := summariseErrors("n", noise, byGroup(0, map[corrupt.Group]int{corrupt.Noise: 1}))
	if _, ok := n.Groups[corrupt.Noise]; !ok || len(n.Groups) != 1 || n.Mean != nil || len(n.Errors) != 4 {
		t.Errorf("noise alone: %+v", n)
	}
	if n = summariseErrors("n", noise[1:], byGroup(0, nil)); len(n.Groups) != 0 {
		t.Errorf("two of the three noises: groups %v", n.Groups)
	}
	perfect := summariseErrors("perfect", corrupt.Benchmark(), byGroup(0, nil))
	r := &Corruptions{Networks: []CorruptedNetwork{perfect}, Names: corruptionNames(corrupt.Benchmark()), Baseline: "perfect"}
	r.compare(0)
	if r.Networks[0].CE != nil || len(r.Notes) != 2 || !strings.Contains(r.Notes[0], "no mCE: gaussian_noise: the baseline's errors") {
		t.Errorf("a baseline without errors: notes %q", r.Notes)
	}
	checkShown(t, r)
}

// checkShown draws a result and sends it through JSON.
func checkShown[R interface {
	comparable
	Result
}](t *testing.T, r R) {
	t.Helper()
	for _, table := range r.Tables() {
		if _, err := table.Markdown(); err != nil {
			t.Error(err)
		}
	}
	pictures, err := r.Pictures()
	if err != nil || len(pictures) == 0 {
		t.Errorf("%d pictures, error %v", len(pictures), err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again := reflect.New(reflect.TypeOf(r).Elem()).Interface()
	if err := json.Unmarshal(text, again); err != nil || !reflect.DeepEqual(again, any(r)) {
		t.Errorf("through JSON: error %v, or another result:\n%+v\n%+v", err, again, r)
	}
}

func testSlice(t *testing.T, from, to int) *data.Set {
	t.Helper()
	set, err := mini.Test().Slice(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Corruptions that were saved give what those made on the way give, also for a part of the records; networks of two forms
// are told apart; and errors are those that another program for the network finds.
func TestMeasureCorruptions(t *testing.T) {
	device := mltest.XLA(t)
	natural, err := zoo.Load("natural")
	if err != nil {
		t.Fatal(err)
	}
	nets := []Network{{"natural", natural}, {"random", tiny(t, 3).State}}
	dir := filepath.Join(t.TempDir(), "c")
	names := []string{"gaussian_noise", "contrast"}
	if err := corrupt.Save(t.Context(), dir, testSlice(t, 20, 44), corrupt.SaveOptions{Names: names, Seed: 5, First: 20}); err != nil {
		t.Fatal(err)
	}
	folder, err := data.OpenCorrupted(dir)
	if err != nil {
		t.Fatal(err)
	}
	set := testSlice(t, 24, 40)
	o := CorruptionOptions{Names: names, Seed: 5, First: 24, Baseline: "random"}
	made, err := MeasureCorruptions(t.Context(), device, nets, set, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Folder = folder
	read, err := MeasureCorruptions(t.Context(), device, nets[1:], set, o)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(made.Networks[1], read.Networks[0]) {
		t.Errorf("made here %+v\nread %+v", made.Networks[1], read.Networks[0])
	}
	looks := slices.Clone(set.Images) // clean, then under noise
	for s := 1; s <= corrupt.Severities; s += 2 {
		images, err := corrupt.Set(t.Context(), set, "gaussian_noise", s, corrupt.Options{Seed: 5, First: 24})
		if err != nil {
			t.Fatal(err)
		}
		looks = append(looks, images.Images...)
	}
	for i, n := range nets {
		classes, err := attacks.Predict(t.Context(), cureml.HostModel(device, n.State), pixels(looks), 8)
		if err != nil {
			t.Fatal(err)
		}
		noise := made.Networks[i].Errors["gaussian_noise"]
		got, want := []float64{made.Networks[i].Clean.Value, noise[0], noise[2], noise[4]}, make([]float64, 4)
		for k, class := range classes {
			if class != int(set.Labels[k%set.Len()]) {
				want[k/set.Len()] += 1 / float64(set.Len())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: errors clean and under noise %v, want %v", n.Name, got, want)
		}
	}
	if e := made.Networks[0].Errors["gaussian_noise"]; !(e[4] > made.Networks[0].Clean.Value) {
		t.Errorf("natural network: noise %v does no harm to clean %v", e, made.Networks[0].Clean)
	}
}

// tiny is a network that the Go backend runs in milliseconds.
func tiny(t *testing.T, seed uint64) Network {
	t.Helper()
	s, err := nn.Init(nn.Arch{Name: "wrn-10-1", Width: 1, Classes: 10}, seed)
	if err != nil {
		t.Fatal(err)
	}
	return Network{"tiny", s}
}

// identityFolder has the clean images at all severities.
func identityFolder(t *testing.T, set *data.Set, name string) *data.Corrupted {
	t.Helper()
	dir := t.TempDir()
	labels, images := data.NPYHeader("|u1", 5*set.Len()), data.NPYHeader("|u1", 5*set.Len(), 32, 32, 3)
	for range corrupt.Severities {
		for _, y := range set.Labels {
			labels = append(labels, byte(y))
		}
		images = append(images, set.Images...)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "labels.npy"), labels, 0o644), os.WriteFile(filepath.Join(dir, name+".npy"), images, 0o644)); err != nil {
		t.Fatal(err)
	}
	c, err := data.OpenCorrupted(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Clean images in place of corrupted ones have the clean error at all severities.
func TestCorruptionIdentity(t *testing.T) {
	set, net := testSlice(t, 0, 12), tiny(t, 1)
	// labels that the network is right about now and then
	set.Labels = slices.Repeat([]int32{predictions(t, net, set)[0], 3}, 6)
	o := CorruptionOptions{Names: []string{"fog"}, Folder: identityFolder(t, set, "fog")}
	r, err := MeasureCorruptions(t.Context(), mltest.GoBackend(t), []Network{net}, set, o)
	if err != nil {
		t.Fatal(err)
	}
	clean := r.Networks[0].Clean.Value
	if clean == 0 || clean == 1 {
		t.Fatalf("clean error %v tells nothing", clean)
	}
	if e := r.Networks[0].Errors["fog"]; e != [5]float64{clean, clean, clean, clean, clean} {
		t.Errorf("errors %v, want %v at all severities", e, clean)
	}
	checkShown(t, r)

	other := *set
	other.Labels = slices.Clone(set.Labels)
	other.Labels[4]++
	if _, err := MeasureCorruptions(t.Context(), mltest.GoBackend(t), []Network{net}, &other, o); err == nil || !strings.Contains(err.Error(), "record 4 has label") {
		t.Errorf("other labels: error %v", err)
	}
	o.First = 1
	if _, err := MeasureCorruptions(t.Context(), mltest.GoBackend(t), []Network{net}, set, o); err == nil || !strings.Contains(err.Error(), "holds the records 0 to 11: want 1 to 12") {
		t.Errorf("records beyond the folder: error %v", err)
	}
}

func predictions(t *testing.T, net Network, set *data.Set) (classes []int32) {
	t.Helper()
	list, err := attacks.Predict(t.Context(), cureml.HostModel(mltest.GoBackend(t), net.State), pixels(set.Images), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		classes = append(classes, int32(c))
	}
	return classes
}

// A measurement that was stopped, and whose last line a kill cut, goes on and ends in the same result, without measuring
// again what is kept; a file of other images is refused.
func TestCorruptionState(t *testing.T) {
	set, net, device := testSlice(t, 0, 5), tiny(t, 1), mltest.GoBackend(t)
	o := CorruptionOptions{Names: []string{"contrast"}, Seed: 1}
	want, err := MeasureCorruptions(t.Context(), device, []Network{net}, set, o)
	if err != nil {
		t.Fatal(err)
	}
	o.State = filepath.Join(t.TempDir(), "state")
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(_ string, severity, _, _ int) {
		if severity == 2 {
			cancel()
		}
	}
	if _, err := MeasureCorruptions(ctx, device, []Network{net}, set, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped: error %v", err)
	}
	o.Progress = nil
	text, err := os.ReadFile(o.State)
	if err != nil || strings.Count(string(text), "\n") != 4 { // the head, clean, severities 1 and 2
		t.Fatalf("kept (error %v):\n%s", err, text)
	}
	write := func(text string) {
		if err := os.WriteFile(o.State, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text) + `{"network":"`)
	for range 2 {
		if got, err := MeasureCorruptions(t.Context(), device, []Network{net}, set, o); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("gone on: error %v, or other than %+v:\n%+v", err, want, got)
		}
	}
	text, err = os.ReadFile(o.State)
	if err != nil || strings.Count(string(text), "\n") != 7 {
		t.Errorf("at the end (error %v):\n%s", err, text)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines[2] = lines[2][:strings.Index(lines[2], `"wrong":`)] + `"wrong":"Hw=="}` + "\n" // 31: all five at severity 1
	write(strings.Join(lines, ""))
	if got, err := MeasureCorruptions(t.Context(), device, []Network{net}, set, o); err != nil || got.Networks[0].Errors["contrast"][0] != 1 {
		t.Errorf("what is kept is not read: %+v, error %v", got, err)
	}
	for bad, message := range map[string]string{
		"": "the first line", "{}\n": "want one of format 1", lines[0] + "{\n": "line 2: ", lines[0] + `{"wrong":""}` + "\n": "0 bytes of verdicts on 5 images",
	} {
		write(bad)
		if _, err := MeasureCorruptions(t.Context(), device, []Network{net}, set, o); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("file %q: error %v, want %q", bad, err, message)
		}
	}
	write(strings.Join(lines, ""))
	o.Seed = 2
	if _, err := MeasureCorruptions(t.Context(), device, []Network{net}, set, o); err == nil || !strings.Contains(err.Error(), "it is of other images, seed or folder") {
		t.Errorf("another seed: error %v", err)
	}
}

func TestCorruptionsRefuses(t *testing.T) {
	set, net, device := testSlice(t, 0, 2), tiny(t, 1), mltest.GoBackend(t)
	folder := identityFolder(t, set, "fog")
	for _, c := range []struct {
		nets []Network
		o    CorruptionOptions
		want string
	}{
		{nil, CorruptionOptions{}, "no networks"},
		{[]Network{net, net}, CorruptionOptions{}, `two networks are called "tiny"`},
		{[]Network{{"none", nil}}, CorruptionOptions{}, `"none" has no weights`},
		{[]Network{net}, CorruptionOptions{Names: []string{"rain"}}, `unknown corruption "rain"`},
		{[]Network{net}, CorruptionOptions{Names: []string{"fog", "fog"}}, "fog appears twice"},
		{[]Network{net}, CorruptionOptions{Names: []string{}}, "no corruptions"},
		{[]Network{net}, CorruptionOptions{Names: []string{"snow"}, Folder: folder}, "has no snow: it has fog"},
		{[]Network{net}, CorruptionOptions{Baseline: "other"}, `baseline "other": want one of the networks`},
		{[]Network{net}, CorruptionOptions{First: -1, Names: []string{"fog"}}, "image index -1"},
		{[]Network{net}, CorruptionOptions{State: "none/state"}, "state file none/state: "},
	} {
		if _, err := MeasureCorruptions(t.Context(), device, c.nets, set, c.o); err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.o, err, c.want)
		}
	}
}
