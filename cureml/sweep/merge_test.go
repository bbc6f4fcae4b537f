package sweep

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml/benchmark"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// timeless is a JSON text without its seconds and minutes.
func timeless(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, key := range []string{"seconds", "minutes", "command", "train"} { // folders are in the last two
				delete(v, key)
			}
			for _, sub := range v {
				strip(sub)
			}
		case []any:
			for _, sub := range v {
				strip(sub)
			}
		}
	}
	strip(v)
	if config, ok := v.(map[string]any)["config"].(map[string]any); ok {
		delete(config, "init")
	}
	text, err = json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMergeIsBenchmark: cards are those that package benchmark makes in one process, reports those of undivided evaluations.
func TestMergeIsBenchmark(t *testing.T) {
	s := whole(t)
	b, err := s.benchmark(s.Sets[0])
	if err != nil {
		t.Fatal(err)
	}
	b.Dir = filepath.Join(t.TempDir(), "benchmark")
	b.OpenDevice = func() (compute.Backend, error) { return mltest.GoBackend(t), nil }
	rows, err := recipes.Select("natural,trades")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := b.Run(t.Context(), rows); err != nil || len(out.Measured) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	arch := nn.Arch{Name: "resnet18", Width: 2, Classes: 10}
	for _, row := range rows {
		name := recipes.Folder(row.Name, arch, 0) + ".json"
		if got, want := timeless(t, filepath.Join(s.Dir, "mini/cards", name)), timeless(t, filepath.Join(b.Dir, "cards", name)); got != want {
			t.Errorf("merged card\n%s\nwant\n%s", got, want)
		}
		for _, part := range []benchmark.Part{{Checkpoint: "last", Attacks: "pgd20,cw20", Images: 8}, {Checkpoint: "last", Attacks: "fgsm-rs+fgsm", Images: 8}} {
			r, err := b.Shard(t.Context(), row, arch, 0, part, 0, 8)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "whole.json")
			text, err := json.Marshal(r)
			if err == nil {
				err = os.WriteFile(path, text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			merged := filepath.Join(s.Dir, "mini/reports", recipes.Folder(row.Name, arch, 0), part.Checkpoint+"-"+part.Attacks+".json")
			if _, err := os.Stat(merged); part.Attacks == cardAttacks && errors.Is(err, os.ErrNotExist) {
				continue // the last network is the best one
			}
			if got, want := timeless(t, merged), timeless(t, path); got != want {
				t.Errorf("%s: merged report\n%s\nwant\n%s", row.Name, got, want)
			}
		}
	}
	for _, name := range []string{"table.txt", "table.csv", "table.png"} {
		if _, err := os.Stat(filepath.Join(s.Dir, "mini", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestGather refuses shards of other weights or images.
func TestGather(t *testing.T) {
	s := create(t, small())
	var of []Task
	for _, task := range s.Tasks {
		if task.Part.Attacks == "fgsm-rs+fgsm" && task.Row == "natural" {
			of = append(of, task)
		}
	}
	put := func(task Task, r *attacks.Report) {
		if err := s.save(task, &shard{Report: r}); err != nil {
			t.Fatal(err)
		}
	}
	for _, task := range of {
		n := task.To - task.From
		flags := make(attacks.Flags, n)
		result := func(name string, losses []float32, stages ...*attacks.Result) *attacks.Result {
			return &attacks.Result{Name: name, RobustFlags: flags, BrokenIn: slices.Repeat([]int{-1}, n), Losses: losses, Stages: stages}
		}
		losses := make([]float32, n)
		put(task, &attacks.Report{Weights: "abc", Records: [2]int{task.From, task.To}, N: n, Clean: attacks.Clean{Flags: flags},
			Attacks: []*attacks.Result{result("fgsm-rs+fgsm", nil, result("fgsm-rs", losses), result("fgsm", losses))}})
	}
	if r, err := s.gather(of, "abc"); err != nil || r.N != 8 || r.Records != [2]int{0, 8} {
		t.Errorf("gathered %+v, %v", r, err)
	}
	if _, err := s.gather(of, "def"); err == nil || !strings.Contains(err.Error(), "is of other weights (abc) than the run has now (def): delete it") {
		t.Errorf("other weights: %v", err)
	}
	put(of[1], &attacks.Report{Weights: "abc", Records: [2]int{0, 3}})
	if _, err := s.gather(of, "abc"); err == nil || !strings.Contains(err.Error(), "is of the images [0 3], want 5 to 7") {
		t.Errorf("other images: %v", err)
	}
	if err := os.WriteFile(s.shardFile(of[0]), []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.gather(of, "abc"); err == nil || !strings.Contains(err.Error(), "0-5.gob: ") || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("a torn file: %v", err)
	}
}

// TestMergeGoesOn: a damaged shard of one row leaves the other rows their cards and the table, and is named at the end.
func TestMergeGoesOn(t *testing.T) {
	s := *whole(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.Dir)); err != nil {
		t.Fatal(err)
	}
	s.Dir = dir
	for _, name := range []string{"cards", "reports"} {
		if err := os.RemoveAll(filepath.Join(dir, "mini", name)); err != nil {
			t.Fatal(err)
		}
	}
	damaged := ""
	for _, task := range s.Tasks {
		if v, err := s.load(task); task.Kind == Eval && task.Row == "natural" && err == nil && v.Report != nil && damaged == "" {
			damaged = s.shardFile(task)
		}
	}
	sound, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := s.Merge(t.Context())
	if err == nil || !strings.Contains(err.Error(), "mini/natural-resnet18-w2-s0: ") || !strings.Contains(err.Error(), filepath.Base(damaged)) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line that names %s", err, damaged)
	}
	if m == nil || len(m.Tables) != 1 || len(m.Cards) == 0 || !strings.Contains(strings.Join(m.Cards, " "), "trades") {
		t.Fatalf("merged %+v", m)
	}
	for _, path := range append(m.Cards, filepath.Join(m.Tables[0], "table.txt")) {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(damaged, sound, 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err = s.Merge(t.Context()); err != nil || len(m.Cards) != 2 {
		t.Errorf("after the shard was mended: %+v, %v", m, err)
	}
}
