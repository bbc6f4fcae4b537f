package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// TestBenchmark measures a row by the command, skips it, meets one that fails, and goes on where a recipe began.
func TestBenchmark(t *testing.T) {
	dir := t.TempDir()
	args := strings.Fields("benchmark --preset ci --epochs 1 --out out --methods")
	cure(t, dir, strings.Fields("recipe run natural --preset ci --epochs 1 --out out")...)
	began, err := os.Stat(filepath.Join(dir, "out/runs/natural-resnet18-w2-s0/final.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	o := cure(t, dir, append(args, "natural")...)
	if !strings.Contains(o.stdout, "Natural  resnet18-w2  last") || !strings.Contains(o.stdout, "95.00") || strings.Contains(o.stderr, "training") {
		t.Errorf("table:\n%s\nmessages:\n%s", o.stdout, o.stderr)
	}
	if after, err := os.Stat(filepath.Join(dir, "out/runs/natural-resnet18-w2-s0/final.safetensors")); err != nil || !after.ModTime().Equal(began.ModTime()) {
		t.Errorf("the run of the recipe was trained again (%v)", err)
	}

	if err := os.WriteFile(filepath.Join(dir, "out/runs/at-resnet18-w2-s0"), []byte("in the way"), 0o644); err != nil {
		t.Fatal(err)
	}
	failing := finish(t, command(dir, append(args, "natural,at")...))
	if failing.code != 1 || !strings.Contains(failing.stdout, "AT [2]") || !strings.Contains(failing.stdout, "[2] AT on resnet18-w2, seed 0 failed: ") ||
		!strings.Contains(failing.stderr, "cure: 1 of 2 rows failed: at-resnet18-w2-s0;") || strings.Contains(failing.stderr, "clean: 100%") {
		t.Errorf("exit code %d\n%s\n%s", failing.code, failing.stdout, failing.stderr)
	}
	if again := cure(t, dir, "benchmark", "--preset", "ci", "--table", "--out", "out"); again.stdout != failing.stdout {
		t.Errorf("--table wrote\n%s\nwant\n%s", again.stdout, failing.stdout)
	}
	elsewhere := cure(t, dir, strings.Fields("benchmark --preset ci --epochs 1 --methods natural --saved out/cards --out other")...)
	if !strings.Contains(elsewhere.stdout, "Natural  resnet18-w2  last") || strings.Contains(elsewhere.stderr, "training") {
		t.Errorf("with a saved card:\n%s\n%s", elsewhere.stdout, elsewhere.stderr)
	}
	wantFailure(t, finish(t, command(dir, "benchmark", "--preset", "ci", "--out", "out", "--methods", "natural")), 2, "is of other settings (epochs 1 -> 2")
}

// TestRecipeCommands: the command that a recipe shows makes the config of the recipe.
func TestRecipeCommands(t *testing.T) {
	wide, err := nn.Parse("wrn-34-10", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, c := range []struct {
		preset recipes.Preset
		arch   nn.Arch
	}{{recipes.Mini, recipes.Mini.Arch}, {recipes.Paper, recipes.Paper.Arch}, {recipes.Paper, wide}} {
		for _, row := range recipes.Rows() {
			want, err := c.preset.Config(row, c.arch, 3, "out/runs")
			if err != nil && c.arch.Name == wide.Name && row.Paper[wide.Name].Epochs == 0 { // rows of ResNet-18 alone
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			checked++
			if got := printedConfig(t, recipes.Command(want, "out/runs/it's here")); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: the command\n%s\nmakes %v", row.Name, c.preset.Name, recipes.Command(want, "x"), recipes.Changes(want, got))
			}
		}
	}
	if checked < 2*len(recipes.Rows()) {
		t.Errorf("%d commands checked, want at least two a row", checked)
	}
}

// printedConfig is what `cure train --print-config` says to a command line.
func printedConfig(t *testing.T, line string) (c cureml.Config) {
	t.Helper()
	words := shellWords(t, line)
	if words[0] != "cure" || words[1] != "train" || words[len(words)-1] != "out/runs/it's here" && words[len(words)-1] != "x" {
		t.Fatalf("command %q", words)
	}
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(append(words[1:], "--print-config"))
	if err := root.Execute(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if err := json.Unmarshal(out.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// shellWords takes a line apart as a shell does, as far as recipes quote.
func shellWords(t *testing.T, line string) (words []string) {
	t.Helper()
	word, open, quoted := "", false, false
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; {
		case ch == '\'':
			quoted, open = !quoted, true
		case ch == '\\' && !quoted:
			i++
			word += line[i : i+1]
		case ch == ' ' && !quoted:
			if open || word != "" {
				words = append(words, word)
			}
			word, open = "", false
		default:
			word += line[i : i+1]
		}
	}
	if quoted {
		t.Fatalf("open quote in %q", line)
	}
	return append(words, word)
}

// TestRecipeShow: commands of needed rows first, times, published values and what is wrong with them.
func TestRecipeShow(t *testing.T) {
	dir := t.TempDir()
	o := cure(t, dir, "recipe", "show", "cure")
	natural, own := strings.Index(o.stdout, "cure train --resume --method natural"), strings.Index(o.stdout, "cure train --resume --method cure")
	if natural < 0 || own < natural || !strings.Contains(o.stdout, "minutes on two idle CPU cores") ||
		!strings.Contains(o.stdout, "natural 86.76, PGD-20 54.92, C&W 52.48, NRR 65.04, AutoAttack 49.69") || !strings.Contains(o.stdout, "is 65.40") {
		t.Errorf("show cure:\n%s", o.stdout)
	}
	var c cureml.Config
	o = cure(t, dir, strings.Fields("recipe show cure --preset paper --arch wrn-34-10 --seed 4 --json")...)
	if err := json.Unmarshal([]byte(o.stdout), &c); err != nil || c.Cure.Percentile != 0.5 || c.Cure.Gamma != 0.5 || c.Epochs != 200 || c.Seed != 4 || c.Arch.Width != 16 {
		t.Errorf("config %+v (%v)", c, err)
	}
	o = cure(t, dir, "recipe", "list")
	for _, r := range recipes.Rows() {
		if !strings.Contains(o.stdout, "\n"+r.Name+" ") {
			t.Errorf("the list lacks %s", r.Name)
		}
	}
}
