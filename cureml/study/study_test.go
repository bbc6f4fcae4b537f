package study

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
)

// small is a study of a few seconds in a folder of its own.
func small(t *testing.T) (*Study, cureml.Config) {
	t.Helper()
	p := presets[0]
	p.TrainImages, p.TestImages = 24, 6
	s := &Study{Preset: p, Dir: t.TempDir(), device: mltest.GoBackend(t)}
	c := s.Config("natural")
	c.Epochs, c.Batch, c.EvalEvery = 2, 8, 0
	return s, c
}

// withoutBackend makes any computing fail.
func withoutBackend(t *testing.T, s *Study) {
	t.Helper()
	s.device, s.OpenDevice = nil, nil
	t.Setenv("GOMLX_BACKEND", "none")
}

// What was done once is read, not done again; what does not fit is refused.
func TestOnce(t *testing.T) {
	s, c := small(t)
	var seen []float64
	m, err := s.Train("natural", c, func(l Line) { seen = append(seen, l.Values["step"]) })
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{1, 2, 3, 4, 5, 6}; !slices.Equal(seen, want) {
		t.Errorf("lines of steps %v, want %v", seen, want)
	}
	list, err := attacks.ParseList("fgsm,pgd20")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := s.Attack([]string{"natural"}, list)
	if err != nil {
		t.Fatal(err)
	}
	examples, err := s.Examples([]string{"natural"}, list[1], 4)
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, s, reports[0], list)
	checkExamples(t, examples[0], reports[0])

	withoutBackend(t, s)
	if again, err := s.Train("natural", c, nil); err != nil || !reflect.DeepEqual(again, m) {
		t.Errorf("finished run: got %v and error %v, want the same metrics", again, err)
	}
	read, err := s.Attack([]string{"natural"}, list)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read[0].RobustFlags, reports[0].RobustFlags) || read[0].Records != [2]int{0, 6} || len(read[0].Attacks) != 2 {
		t.Errorf("report from its file: got %+v, want %+v", read[0], reports[0])
	}
	images, err := s.Examples([]string{"natural"}, list[1], 4)
	if err != nil || !reflect.DeepEqual(images[0], examples[0]) {
		t.Errorf("examples from their file differ, or error: %v", err)
	}
	// anything else has to be measured
	if _, err := s.Attack([]string{"natural"}, list[:1]); err == nil {
		t.Error("another list of attacks: read from a file, want an attempt to compute")
	}
	if _, err := s.Examples([]string{"natural"}, list[1], 3); err == nil {
		t.Error("other images: read from a file, want an attempt to compute")
	}
	if _, err := s.Attack([]string{"cure"}, list); err == nil || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("no such run: got error %v", err)
	}
	if _, err := s.Examples([]string{"natural"}, attacks.Attack{Name: "natural"}, 3); err == nil {
		t.Error("an attack that makes no images: got no error")
	}
	if _, err := s.Attack([]string{"zoo:none"}, list); err == nil || !strings.Contains(err.Error(), "zoo") {
		t.Errorf("no such shipped network: got error %v", err)
	}
	other := c
	other.Epochs = 3
	if _, err := s.Train("natural", other, nil); err == nil || !strings.Contains(err.Error(), "another config") {
		t.Errorf("another config: got error %v", err)
	}
}

// checkReport compares with the attacks alone.
func checkReport(t *testing.T, s *Study, r *attacks.Report, list []attacks.Attack) {
	t.Helper()
	sets, err := s.Sets()
	if err != nil {
		t.Fatal(err)
	}
	net, err := s.network("natural")
	if err != nil {
		t.Fatal(err)
	}
	model, err := s.model(net)
	if err != nil {
		t.Fatal(err)
	}
	want, err := attacks.Evaluate(t.Context(), model, sets.Test.Images, sets.Test.Labels, list, attacks.Options{Batch: 6})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Clean.Flags, want.Clean.Flags) || !slices.Equal(r.RobustFlags, want.RobustFlags) {
		t.Errorf("verdicts %v clean, %v robust, want %v, %v", r.Clean.Flags, r.RobustFlags, want.Clean.Flags, want.RobustFlags)
	}
	if r.Arch != "resnet18-w2" || r.N != 6 || !strings.HasSuffix(r.Weights, "natural/final.safetensors") {
		t.Errorf("report about %s, %s, %d images", r.Arch, r.Weights, r.N)
	}
}

// checkExamples holds the images against the budget, and the probabilities against the verdicts of the report.
func checkExamples(t *testing.T, e *Examples, r *attacks.Report) {
	t.Helper()
	for i, adv := range e.Adv {
		if d := float64(adv) - float64(e.Clean[i]); d > e.Eps+1e-6 || d < -e.Eps-1e-6 || adv < 0 || adv > 1 {
			t.Fatalf("value %d: %g became %g, beyond eps %g or the box", i, e.Clean[i], adv, e.Eps)
		}
	}
	for i := range e.N() {
		sum := 0.0
		for _, p := range e.CleanProbs[10*i : 10*i+10] {
			sum += float64(p)
		}
		if sum < 1-1e-5 || sum > 1+1e-5 {
			t.Errorf("image %d: probabilities add up to %g", i, sum)
		}
		if got, want := e.Right(e.CleanProbs, i), r.Clean.Flags[i]; got != want {
			t.Errorf("image %d, clean: right is %v, the report says %v", i, got, want)
		}
		if got, want := e.Right(e.AdvProbs, i), r.Attacks[1].RobustFlags[i]; got != want {
			t.Errorf("image %d, attacked: right is %v, the report says %v", i, got, want)
		}
	}
}

// A shipped network is measured like a run, also when another form was measured just before.
func TestShipped(t *testing.T) {
	s, c := small(t)
	s.device = mltest.XLA(t)
	c.Epochs = 1
	if _, err := s.Train("natural", c, nil); err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("natural")
	if err != nil {
		t.Fatal(err)
	}
	networks := []string{"natural", "zoo:natural"}
	reports, err := s.Attack(networks, list)
	if err != nil {
		t.Fatal(err)
	}
	if r := reports[1]; r.Weights != "zoo:natural" || r.Arch != "resnet18-w16" || r.Clean.Accuracy < 0.5 {
		t.Errorf("got %s, %s, accuracy %g, want the shipped network and at least 0.5", r.Weights, r.Arch, r.Clean.Accuracy)
	}
	withoutBackend(t, s)
	if again, err := s.Attack(networks, list); err != nil || !slices.Equal(again[1].Clean.Flags, reports[1].Clean.Flags) {
		t.Errorf("the second time: error %v or other verdicts", err)
	}
}

// A run that starts from other weights than it did is refused, as its config cannot tell.
func TestChangedStart(t *testing.T) {
	dir, init := t.TempDir(), filepath.Join(t.TempDir(), "final.safetensors")
	write := func(text string) {
		if err := os.WriteFile(init, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	for range 2 {
		if err := errors.Join(checkStart(dir, init), recordStart(dir, init)); err != nil {
			t.Fatal(err)
		}
	}
	write("new")
	if err := checkStart(dir, init); err == nil || !strings.Contains(err.Error(), "other weights") {
		t.Errorf("got error %v, want one that says that the weights changed", err)
	}
	for _, init := range []string{"", "zoo:natural"} {
		if err := errors.Join(checkStart(dir, init), recordStart(dir, init)); err != nil {
			t.Errorf("start %q: %v", init, err)
		}
	}
}

// An interrupt stops a run, says so, and the next call finishes it.
func TestInterrupt(t *testing.T) {
	s, c := small(t)
	s.device = mltest.XLA(t)
	c.Epochs = 100
	late := make(chan os.Signal, 1) // the test survives an interrupt that comes after the run
	signal.Notify(late, os.Interrupt)
	defer signal.Stop(late)
	go func() {
		for len(late) == 0 {
			if m, err := s.Metrics("natural"); err == nil && len(m) > 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	_, err := s.Train("natural", c, nil)
	if err == nil || !strings.Contains(err.Error(), "doing the same again") {
		t.Fatalf("got error %v, want one that says how to go on", err)
	}
	if Finished(s.Run("natural"), c) {
		t.Fatal("the run is finished")
	}
	m, err := s.Train("natural", c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range m {
		if l.Values["step"] != float64(i+1) {
			t.Fatalf("line %d is of step %g", i, l.Values["step"])
		}
	}
	if len(m) != 300 {
		t.Errorf("%d lines, want 300", len(m))
	}
}
