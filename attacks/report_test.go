package attacks

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
)

// TestReportJSON checks the form that `cure eval` promises, key by key.
func TestReportJSON(t *testing.T) {
	report := &Report{
		Arch: "resnet18", Weights: "w.safetensors", Data: "mini", Records: [2]int{0, 3}, N: 3, Norm: "linf", Eps: .5, Seed: 7,
		Clean:          Clean{Accuracy: 1, Flags: Flags{true, true, true}},
		Attacks:        []*Result{{Name: "fgsm", RobustAccuracy: .25, RobustFlags: Flags{true, false, true}, MeanLoss: 1.5, Seconds: 2, Forwards: 6, Backwards: 3}},
		RobustAccuracy: .25, RobustFlags: Flags{true, false, true}, Warnings: []string{},
	}
	const want = `{"arch":"resnet18","weights":"w.safetensors","data":"mini","records":[0,3],"n":3,"norm":"linf","eps":0.5,"seed":7,` +
		`"clean":{"accuracy":1,"flags":[1,1,1]},` +
		`"attacks":[{"name":"fgsm","robust_accuracy":0.25,"robust_flags":[1,0,1],"mean_loss":1.5,"seconds":2,"forwards":6,"backwards":3}],` +
		`"robust_accuracy":0.25,"robust_flags":[1,0,1],"warnings":[]}`
	got, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var back Report
	if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(&back, report) {
		t.Errorf("read back as %+v, %v", back, err)
	}
	report.Attacks[0].MeanLoss = Number(math.Inf(1))
	if got, err = json.Marshal(report); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &back); err != nil || !math.IsNaN(float64(back.Attacks[0].MeanLoss)) {
		t.Errorf("an infinite loss came back as %g, %v", back.Attacks[0].MeanLoss, err)
	}
	for _, text := range []string{"[2]", "[true]", "1", "[0,"} {
		var flags Flags
		if err := json.Unmarshal([]byte(text), &flags); err == nil {
			t.Errorf("flags %s accepted", text)
		}
	}
}

// TestReportOfSeveralAttacks checks what the report derives from its parts.
func TestReportOfSeveralAttacks(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	list, err := ParseList("natural,fgsm,pgd20,pgd20-l2")
	if err != nil {
		t.Fatal(err)
	}
	report := evaluate(t, model, images, labels, list, Options{Seed: 4})
	if len(report.Attacks) != 3 || report.N != 20 || report.Seed != 4 || report.Norm != "mixed" || report.Eps != .5 || !warned(report, "different budgets, so the robust accuracy over all of them belongs to no single eps: linf 0.03137, linf 0.031, l2 0.5") {
		t.Errorf("%+v", report)
	}
	all := slices.Clone(report.Clean.Flags)
	for _, r := range report.Attacks {
		if r.RobustAccuracy != r.RobustFlags.Accuracy() || r.Adv != nil || r.Seconds <= 0 {
			t.Errorf("%+v", r)
		}
		for i, robust := range r.RobustFlags {
			if robust && !report.Clean.Flags[i] {
				t.Errorf("%s: image %d is robust but misclassified without attack", r.Name, i)
			}
			all[i] = all[i] && robust
		}
	}
	if !slices.Equal(all, report.RobustFlags) || report.RobustAccuracy != all.Accuracy() {
		t.Errorf("robust flags %v, want the conjunction %v", report.RobustFlags, all)
	}
	natural := evaluate(t, model, images, labels, list[:1], Options{})
	if natural.Attacks == nil || len(natural.Attacks) != 0 || natural.Warnings == nil || !slices.Equal(natural.RobustFlags, natural.Clean.Flags) {
		t.Errorf("%+v", natural)
	}
}

func TestNRR(t *testing.T) {
	// CURE, table 1: ResNet-18 with natural 86.76 and C&W 52.48; the harmonic mean is 65.40, the table prints 65.04.
	if got := NRR(86.76, 52.48); math.Abs(got-65.40) > .005 {
		t.Errorf("NRR(86.76, 52.48) = %g, want 65.40", got)
	}
	for _, tc := range [][3]float64{{.5, .5, .5}, {1, 0, 0}, {0, 0, 0}, {.8, .4, 1. / (.5/.8 + .5/.4)}} {
		if got := NRR(tc[0], tc[1]); !near(got, tc[2], 1e-15) {
			t.Errorf("NRR(%g, %g) = %g, want %g", tc[0], tc[1], got, tc[2])
		}
	}
}
