package study

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml/nn"
)

var older = nn.Arch{Name: "preactresnet18", Width: 2, Classes: 10, NoFinalBN: true}

const olderFile = "../nn/testdata/preactresnet18_older.pt"

// A network in a file stands wherever networks are named, whichever of the kinds of file it is.
func TestAdd(t *testing.T) {
	s, _ := small(t)
	state, err := nn.Init(nn.Arch{Name: "resnet18", Width: 1, Classes: 10}, 7)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model.safetensors")
	if err := state.Save(file); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("mine", state.Arch, file); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("torch", older, olderFile); err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("fgsm")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := s.Attack([]string{"mine", "torch"}, list)
	if err != nil {
		t.Fatal(err)
	}
	if reports[0].Weights != file || reports[1].Weights != olderFile || reports[1].Arch != older.String() {
		t.Errorf("reports are of %s and of %s, %s", reports[0].Weights, reports[1].Weights, reports[1].Arch)
	}
	if kept, err := os.ReadDir(s.Run("mine")); err != nil || len(kept) != 1 {
		t.Errorf("kept: %v, error %v, want a report in the folder of that name", kept, err)
	}
	b, err := s.Beyond("torch", "mine", "zoo:natural")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range b.Networks {
		names = append(names, n.Name)
	}
	if !slices.Equal(names, []string{"torch", "mine", "natural"}) || !slices.Equal(b.Networks[1].Values["conv1.weight"], state.Values["conv1.weight"]) {
		t.Errorf("networks %v, or other weights than those of the file", names)
	}
}

// Errors name what is wrong.
func TestAddErrors(t *testing.T) {
	s, c := small(t)
	c.Epochs = 1
	if _, err := s.Train("run", c, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("mine", older, olderFile); err != nil {
		t.Fatal(err)
	}
	form := func(name string, width, classes int) nn.Arch {
		return nn.Arch{Name: name, Width: width, Classes: classes}
	}
	for _, c := range []struct {
		name string
		a    nn.Arch
		file string
		want []string
	}{
		{"", older, olderFile, []string{`""`}},
		{"zoo:mine", older, olderFile, []string{`"zoo:mine"`, "without :"}},
		{"../mine", older, olderFile, []string{`"../mine"`}},
		{"..", older, olderFile, []string{`".."`}},
		{"mine", older, olderFile, []string{"mine", "already", olderFile}},
		{"run", older, olderFile, []string{"is a run", olderFile}},
		{"a", older, "absent.pt", []string{"network a", "absent.pt"}},
		{"a", form("resnet19", 2, 10), olderFile, []string{"resnet19", "resnet18"}},
		{"a", form("resnet18", 0, 10), olderFile, []string{"width 0", "want"}},
		{"a", form("resnet18", 2, 0), olderFile, []string{"0 classes", "want"}},
		{"a", form("resnet18", 2, 10), olderFile, []string{"network a", "preactresnet18", "not"}},
		{"a", form("preactresnet18", 2, 10), olderFile, []string{"preactresnet18-raw", "NoFinalBN"}},
	} {
		err := s.Add(c.name, c.a, c.file)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %s, %s: error %v, want %s in it", c.name, c.a, c.file, err, want)
			}
		}
	}
	if _, err := s.Beyond("yours"); err == nil || !strings.Contains(err.Error(), "yours") || !strings.Contains(err.Error(), "Study.Add") {
		t.Errorf("no such network: error %v", err)
	}
}
