package attacks

import (
	"slices"
	"testing"
)

// TestOfficialPasses counts by hand: 10 classes, 100 iterations, 5,000 queries.
func TestOfficialPasses(t *testing.T) {
	const (
		ce     = 2 * 101
		target = 2*101 + 1
		fab    = 3*100 + 3
	)
	version := standard(standardBall)
	// Images: misclassified; broken by APGD-CE; by the third target of APGD-T; by the second of FAB-T; by query 700; by none.
	clean := Flags{false, true, true, true, true, true}
	broken := [][]int{{-1, 0, -1, -1, -1, -1}, {-1, -1, 2, -1, -1, -1}, {-1, -1, -1, 1, -1, -1}, {-1, -1, -1, -1, 0, -1}}
	result := &Result{Name: "autoattack"}
	robust := clean
	for s, in := range broken {
		robust = slices.Clone(robust)
		for i, run := range in {
			robust[i] = robust[i] && run < 0
		}
		result.Stages = append(result.Stages, &Result{Name: version.Stages[s].Name, RobustFlags: robust, BrokenIn: in})
	}
	result.Stages[3].Forwards, result.Stages[3].Skipped = 600+4701+2, 100+300 // and two verifications
	entered := 5 + 4 + 3 + 2
	want := int64(6 + 2*entered + 5*ce + (3+9+9+9)*target + (2+9+9)*fab + 700 + 5001 + 2)
	got, weights, err := OfficialPasses(10, Attack{Name: "autoattack", Method: version}, result, clean)
	if err != nil || got != want || weights != (2+9+9)*100 {
		t.Errorf("%d passes and %d to the weights, %v; want %d and %d", got, weights, err, want, (2+9+9)*100)
	}
	untargeted := Ensemble{Stages: []Attack{{Name: "fab", Method: FAB{Ball: standardBall, Restarts: 2}}}}
	once := &Result{Stages: []*Result{{Name: "fab", RobustFlags: clean, BrokenIn: broken[1]}}} // one image by the third run, the others by none
	got, weights, err = OfficialPasses(10, Attack{Name: "fab", Method: untargeted}, once, clean)
	if want := int64(6 + 2*5 + (3+4*2)*(12*100+2)); err != nil || got != want || weights != (3+4*2)*10*100 {
		t.Errorf("untargeted FAB: %d passes and %d to the weights, %v; want %d and %d", got, weights, err, want, (3+4*2)*10*100)
	}
	for name, a := range map[string]Attack{
		"no ensemble":   {Name: "apgd-ce", Method: version.Stages[0].Method},
		"other attacks": {Name: "pgd", Method: Ensemble{Stages: []Attack{{Name: "pgd", Method: PGD{Ball: standardBall, Steps: 1, Loss: "ce"}}}}},
	} {
		r := &Result{Name: a.Name, Stages: []*Result{{Name: "pgd", RobustFlags: clean, BrokenIn: broken[0]}}}
		if _, _, err := OfficialPasses(10, a, r, clean); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestVersions checks the lists of attacks and what differs in L1.
func TestVersions(t *testing.T) {
	want := map[string][]string{
		"autoattack":      {"apgd-ce", "apgd-t", "fab-t", "square"},
		"autoattack-plus": {"apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"},
		"autoattack-rand": {"apgd-ce", "apgd-dlr"},
		"autoattack-fast": {"apgd-ce", "apgd-t"},
		"apgd-ce+square":  {"apgd-ce", "square"},
	}
	for name, stages := range want {
		a, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, ball := range []Ball{{Linf, 8. / 255}, {L2, .5}, {L1, 12}} {
			b, err := a.With(Override{Norm: &ball.Norm, Eps: &ball.Eps})
			if err == nil {
				err = b.Validate(10)
			}
			if err != nil {
				t.Errorf("%s in %s: %v", name, ball.Norm, err)
				continue
			}
			var got []string
			for _, stage := range b.Method.(Ensemble).Stages {
				got = append(got, stage.Name)
				if m, ok := stage.Method.(APGD); ok && name == "autoattack" {
					l1 := ball.Norm == L1
					wantTargets := map[string]int{"apgd-ce": 0, "apgd-t": map[bool]int{false: 9, true: 5}[l1]}[stage.Name]
					if m.Shrink != l1 || m.Targets != wantTargets || m.Steps != 100 || (stage.Name == "apgd-ce") && (m.Restarts == 5) != l1 {
						t.Errorf("%s in %s: %s is %+v", name, ball.Norm, stage.Name, m)
					}
				}
			}
			if !slices.Equal(got, stages) {
				t.Errorf("%s in %s: stages %v, want %v", name, ball.Norm, got, stages)
			}
		}
	}
	for _, name := range []string{"apgd-ce+", "natural+pgd20", "autoattack+pgd20", "ddn+pgd20-l2", "fgsm+pgd20"} {
		if a, err := Preset(name); err == nil && a.Validate(10) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
