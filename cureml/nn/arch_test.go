package nn

import (
	"math"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name    string
		width   int
		classes int
		want    string // of String, or the part of an error after "error: "
	}{
		{"resnet18", 0, 10, "resnet18-w64"},
		{"ResNet18", 16, 10, "resnet18-w16"},
		{"resnet34", 0, 100, "resnet34-w64"},
		{"resnet50", 0, 10, "resnet50-w64"},
		{"preactresnet18", 0, 10, "preactresnet18-w64"},
		{"preactresnet18-swish", 0, 10, "preactresnet18-swish-w64"},
		{"preactresnet18-raw", 8, 10, "preactresnet18-raw-w8"},
		{"wrn-28-10", 0, 10, "wrn-28-10-w16"},
		{"WRN-70-16-swish", 0, 10, "wrn-70-16-swish-w16"},
		{"wrn-10-2", 4, 2, "wrn-10-2-w4"},
		{"lenet", 0, 10, `error: unknown arch "lenet": accepted are resnet18,`},
		{"", 0, 10, "error: unknown arch"},
		{"resnet18-swish", 0, 10, "error: unknown arch"},
		{"wrn-29-10", 0, 10, "error: D = 6n+4"},
		{"wrn-28", 0, 10, "error: D = 6n+4"},
		{"wrn-28-x", 0, 10, "error: D = 6n+4"},
		{"wrn-28-10-relu", 0, 10, "error: D = 6n+4"},
		{"wrn-4-1", 0, 10, "error: D = 6n+4"},
		{"wrn--8-1", 0, 10, "error: D = 6n+4"},
		{"wrn-28-0", 0, 10, "error: K from 1 to 64"},
		{"wrn-28-65", 0, 10, "error: K from 1 to 64"},
		{"wrn-100000-1", 0, 10, "error: D = 6n+4"},
		{"resnet18", -1, 10, "error: width -1: want a base width of 1 to 1024"},
		{"resnet18", 1025, 10, "error: width 1025"},
		{"resnet18", 0, 1, "error: 1 classes: want 2 or more"},
	} {
		a, err := Parse(c.name, c.width, c.classes)
		if want, bad := strings.CutPrefix(c.want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "nn: ") {
				t.Errorf("%s width %d: got %v, want an error with %q", c.name, c.width, err, want)
			}
			continue
		}
		if err != nil || a.String() != c.want || a.Classes != c.classes {
			t.Errorf("%s width %d: got %s with %d classes, %v, want %s", c.name, c.width, a, a.Classes, err, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	three := []float64{0.5, 0.5, 0.5}
	ok := Arch{Name: "resnet18", Width: 16, Classes: 10}
	for what, c := range map[string]struct {
		change func(a *Arch)
		want   string
	}{
		"plain":              {func(a *Arch) {}, ""},
		"normalised":         {func(a *Arch) { a.Mean, a.Std = three, three }, ""},
		"mean alone":         {func(a *Arch) { a.Mean = three }, "3 means and 0 deviations"},
		"two values":         {func(a *Arch) { a.Mean, a.Std = three[:2], three[:2] }, "want three of each"},
		"std 0":              {func(a *Arch) { a.Mean, a.Std = three, []float64{1, 0, 1} }, "std [1 0 1]"},
		"std infinite":       {func(a *Arch) { a.Mean, a.Std = three, []float64{1, math.Inf(1), 1} }, "finite"},
		"mean NaN":           {func(a *Arch) { a.Mean, a.Std = []float64{0, math.NaN(), 0}, three }, "finite"},
		"no norm of preact":  {func(a *Arch) { a.Name, a.NoFinalBN = "preactresnet18", true }, ""},
		"no norm of resnet":  {func(a *Arch) { a.NoFinalBN = true }, "only preactresnet18"},
		"no norm of the raw": {func(a *Arch) { a.Name, a.NoFinalBN = "preactresnet18-raw", true }, "only preactresnet18"},
	} {
		a := ok
		c.change(&a)
		err := a.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
		if list, err := a.Tensors(); (err == nil) != (c.want == "") || err == nil && len(list) == 0 {
			t.Errorf("%s: Tensors gives %d, %v", what, len(list), err)
		}
	}
}
