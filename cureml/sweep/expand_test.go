package sweep

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	four := 4
	g := Grid{Preset: "ci", Methods: []string{"cure"}, Widths: []int{2, 3}, Data: []string{"mini", "mini.two"}, Seeds: []uint64{5, 1}, AutoAttack: &four, Shard: 3}
	s := create(t, g)
	// Of both data sets, widths and seeds: natural and CURE; 8 images under two attacks in 3 shards, best and last, and 4 in 2.
	const runs = 2 * 2 * 2
	if n, want := len(s.Tasks), runs*(2+3+3+2); n != want {
		t.Fatalf("%d tasks, want %d", n, want)
	}
	if got, want := s.Waves(), []int{runs, runs, runs * 8}; !slices.Equal(got, want) {
		t.Errorf("waves %v, want %v", got, want)
	}
	for i, want := range map[int]string{
		0: "mini-natural-resnet18-w2-s5-train", 1: "mini-natural-resnet18-w3-s5-train", 2: "mini-natural-resnet18-w2-s1-train",
		4: "mini.two-natural-resnet18-w2-s5-train", 8: "mini-cure-resnet18-w2-s5-train",
		16: "mini-cure-resnet18-w2-s5-best-pgd20,cw20-0-3", 18: "mini-cure-resnet18-w2-s5-best-pgd20,cw20-6-8",
		19: "mini-cure-resnet18-w2-s5-last-pgd20,cw20-0-3", 22: "mini-cure-resnet18-w2-s5-last-autoattack-0-3",
		23: "mini-cure-resnet18-w2-s5-last-autoattack-3-4", 24: "mini-cure-resnet18-w3-s5-best-pgd20,cw20-0-3",
		79: "mini.two-cure-resnet18-w3-s1-last-autoattack-3-4",
	} {
		if s.Tasks[i].Name != want || s.Tasks[i].Index != i {
			t.Errorf("task %d is %s with index %d, want %s", i, s.Tasks[i].Name, s.Tasks[i].Index, want)
		}
	}
	names := map[string]bool{}
	for _, task := range s.Tasks {
		if names[task.Name] {
			t.Errorf("two tasks are called %s", task.Name)
		}
		names[task.Name] = true
		for _, need := range task.Needs {
			if need >= task.Index {
				t.Errorf("task %d comes before %d, which it needs", task.Index, need)
			}
		}
	}
	for i, want := range map[int][]int{0: nil, 8: {0}, 15: {7}, 16: {8}, 24: {9}, 79: {15}} {
		if !slices.Equal(s.Tasks[i].Needs, want) {
			t.Errorf("task %d needs %v, want %v", i, s.Tasks[i].Needs, want)
		}
	}

	// The folder has the same list for whoever opens it, and stays as it is.
	before, err := os.ReadFile(filepath.Join(s.Dir, listFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() (*Sweep, error){
		"Open": func() (*Sweep, error) { return Open(s.Dir, env(t)) }, "Create": func() (*Sweep, error) { return Create(s.Dir, g, env(t)) },
	} {
		again, err := open()
		if err != nil || !reflect.DeepEqual(again.Tasks, s.Tasks) || !reflect.DeepEqual(again.Sets, s.Sets) {
			t.Errorf("%s has other tasks (%v)", what, err)
		}
	}
	if after, err := os.ReadFile(filepath.Join(s.Dir, listFile)); err != nil || string(after) != string(before) {
		t.Errorf("the list was changed (%v)", err)
	}
	g.Seeds, g.Epochs = []uint64{5}, 3
	if _, err := Create(s.Dir, g, env(t)); err == nil || !strings.Contains(err.Error(), "another grid (epochs none -> 3, seeds [5,1] -> [5])") {
		t.Errorf("another grid: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	minus := -2
	for _, c := range []struct {
		change func(g *Grid)
		want   string
	}{
		{func(g *Grid) { g.Preset = "huge" }, `unknown preset "huge": accepted are ci, mini, paper`},
		{func(g *Grid) { g.Methods = nil }, "no methods: want names of rows"},
		{func(g *Grid) { g.Methods = []string{"sgd"} }, `unknown row "sgd": accepted are natural, at`},
		{func(g *Grid) { g.Archs = []string{"vgg"} }, `unknown arch "vgg": accepted are resnet18`},
		{func(g *Grid) { g.Archs = []string{"resnet18", "resnet18"} }, "arch resnet18 appears twice"},
		{func(g *Grid) { g.Widths = []int{-1} }, "width -1: want a base width of 1 to 1024"},
		{func(g *Grid) { g.Widths = []int{0, 2} }, "resnet18-w2 appears twice: width 0 is 2 here"},
		{func(g *Grid) { g.Data = []string{"none"} }, "no such data: none"},
		{func(g *Grid) { g.Data = []string{"mini", "a/mini"} }, "data mini and a/mini would both lie in the folder mini"},
		{func(g *Grid) { g.Data = []string{"/"} }, `data "/": want mini, or the path of a data set`},
		{func(g *Grid) { g.Seeds = []uint64{1, 1} }, "seed 1 appears twice"},
		{func(g *Grid) { g.Epochs = -1 }, "epochs -1: want 1 or more"},
		{func(g *Grid) { g.AutoAttack = &minus }, "autoattack -2: want a number of images"},
		{func(g *Grid) { g.Attacks = []string{"pgd21"} }, `unknown attack "pgd21": want one of natural`},
		{func(g *Grid) { g.Attacks = []string{"natural"} }, `attacks "natural": natural attacks nothing`},
		{func(g *Grid) { g.Attacks = []string{"pgd20,cw20"} }, "every card has these"},
		{func(g *Grid) { g.Shard = -1 }, "shard -1: want 1 or more images"},
		{func(g *Grid) { g.Rows = -1 }, "rows -1: want 1 or more"},
	} {
		g, dir := small(), filepath.Join(t.TempDir(), "sweep")
		c.change(&g)
		if _, err := Create(dir, g, env(t)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, c.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q left a folder", c.want)
		}
	}
	s := create(t, small())
	for _, i := range []int{-1, len(s.Tasks)} {
		if _, err := s.Task(i); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("index %d: %s has tasks 0 to %d", i, s.Dir, len(s.Tasks)-1)) {
			t.Errorf("task %d: %v", i, err)
		}
	}
	if _, err := Open(t.TempDir(), env(t)); !errors.Is(err, ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
	path := filepath.Join(t.TempDir(), "grid.json")
	for text, want := range map[string]string{
		`{"preset": "ci", "colour": 1}`: `unknown field "colour"`, `{"preset": "ci"} {}`: "more than one grid", `{`: "unexpected EOF",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadGrid(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
