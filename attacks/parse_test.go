package attacks

import (
	"math"
	"strings"
	"testing"
)

func TestParseEps(t *testing.T) {
	for text, want := range map[string]float64{
		"8/255": 8. / 255, "0.031": .031, "0": 0, "1": 1, " 8 / 255 ": 8. / 255, ".5": .5, "128/255": 128. / 255, "3e-2": .03, "8": 8, "-0": 0,
	} {
		if got, err := ParseEps(text); err != nil || got != want || math.Signbit(got) {
			t.Errorf("%q: %g, %v, want %g", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "8/", "/255", "8/0", "0/0", "-1", "-8/255", "8/-255", "nan", "NaN", "inf", "1/2/3", "8/255px", "0,031", "1e999", "8/inf/"} {
		if got, err := ParseEps(text); err == nil {
			t.Errorf("%q: accepted as %g", text, got)
		} else if !strings.Contains(err.Error(), "8/255") || !strings.HasPrefix(err.Error(), "attacks: ") {
			t.Errorf("%q: error %q does not say what is accepted", text, err)
		}
	}
}

func TestParseNormAndStart(t *testing.T) {
	for text, want := range map[string]Norm{"linf": Linf, "Linf": Linf, "L2": L2} {
		if got, err := ParseNorm(text); err != nil || got != want {
			t.Errorf("norm %q: %v, %v", text, got, err)
		}
	}
	for _, want := range []Start{None, Uniform, UniformUnclipped, Normal} {
		if got, err := ParseStart(want.String()); err != nil || got != want {
			t.Errorf("start %q: %v, %v", want, got, err)
		}
	}
	if _, err := ParseNorm("l3"); err == nil || !strings.Contains(err.Error(), "linf or l2") {
		t.Errorf("norm l3: %v", err)
	}
	if _, err := ParseStart("zero"); err == nil || !strings.Contains(err.Error(), "none, uniform") {
		t.Errorf("start zero: %v", err)
	}
}

func TestParseList(t *testing.T) {
	list, err := ParseList("natural, FGSM,pgd20")
	if err != nil || len(list) != 3 || list[0].Name != "natural" || list[1].Name != "fgsm" || list[2].Name != "pgd20" {
		t.Errorf("%v, %v", list, err)
	}
	for text, want := range map[string]string{
		"": "want one of", "pgd20,": "want one of", "pgd21": "pgd20-trades", "pgd20,pgd20": "twice", "fgsm,PGD20,pgd20": "twice",
	} {
		if _, err := ParseList(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParseEps(f *testing.F) {
	for _, seed := range []string{"8/255", "0.031", "-1", "NaN", "1e400", "0x1p-4", "1/0", "8/255/3", "", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		eps, err := ParseEps(text)
		if err == nil && !(eps >= 0 && !math.IsInf(eps, 0)) {
			t.Errorf("%q: accepted as %g", text, eps)
		}
		if err != nil && eps != 0 {
			t.Errorf("%q: %g beside an error", text, eps)
		}
	})
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{"natural,fgsm,pgd20,cw20", "pgd20", ",", "pgd20,pgd20", "PGD20 , bim", "\xff",
		"apgd-ce+apgd-t+square,autoattack", "natural+fgsm", "fgsm + Square", "fgsm+fgsm", "fgsm+autoattack", "pgd20-targeted+fab-min", "+,+"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseList(text)
		if err != nil {
			if list != nil || !strings.HasPrefix(err.Error(), "attacks: ") {
				t.Errorf("%q: %v beside the error %q", text, list, err)
			}
			return
		}
		if len(list) != strings.Count(text, ",")+1 {
			t.Errorf("%q: %d attacks", text, len(list))
		}
		for _, a := range list {
			if a, err = a.With(Override{Norm: new(Linf), Eps: new(.03)}); err == nil { // stages in one ball
				err = a.Validate(10)
			}
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
