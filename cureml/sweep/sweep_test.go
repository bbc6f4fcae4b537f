package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/backend"
	"cure/cureml/benchmark"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/recipes"
	"cure/data"
	"cure/data/mini"
)

// The test binary does one task when taskEnv is set to a folder and an index, and kills itself after killEnv milliseconds.
const (
	taskEnv = "CURE_SWEEP_TEST_TASK"
	killEnv = "CURE_SWEEP_TEST_KILL"
)

func TestMain(m *testing.M) {
	dir, index, child := strings.Cut(os.Getenv(taskEnv), "\n")
	if !child {
		code := m.Run()
		os.RemoveAll(shared)
		os.Exit(code)
	}
	if ms, err := strconv.Atoi(os.Getenv(killEnv)); err == nil {
		time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	}
	device := func(string) (compute.Backend, error) { return backend.Open(backend.Options{Name: "go"}) }
	s, err := Open(dir, Env{OpenSets: embedded, OpenDevice: device})
	if err == nil {
		var i int
		if i, err = strconv.Atoi(index); err == nil {
			err = s.Do(context.Background(), s.Tasks[i])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// embedded are the embedded images under one label, which networks learn in a step or two: attacks have something to do in
// every shard.
func embedded(_, ref string) (cureml.Sets, error) {
	if ref != "" && !strings.HasPrefix(ref, "mini") {
		return cureml.Sets{}, errors.New("no such data: " + ref)
	}
	same := func(s *data.Set) *data.Set {
		out := *s
		out.Labels = slices.Repeat([]int32{3}, s.Len())
		return &out
	}
	return cureml.Sets{Train: same(mini.Train()), Test: same(mini.Test())}, nil
}

// env computes on the Go backend.
func env(t *testing.T) Env {
	return Env{OpenSets: embedded, OpenDevice: func(string) (compute.Backend, error) { return mltest.GoBackend(t), nil }}
}

// small is a grid of seconds: networks of width 2, two steps on 16 images each, 8 test images.
func small() Grid {
	none := 0
	return Grid{Preset: "ci", Methods: []string{"trades", "natural"}, Epochs: 1, AutoAttack: &none, Attacks: []string{"fgsm-rs+fgsm"}, Shard: 5}
}

func create(t *testing.T, g Grid) *Sweep {
	t.Helper()
	s, err := Create(filepath.Join(t.TempDir(), "sweep"), g, env(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

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

// shared is the folder of undisturbed.
var shared string

// undisturbed is the sweep of small, done task by task from the last to the first, so that evaluations train what they
// attack; tests share it.
var undisturbed = sync.OnceValues(func() (*Sweep, error) {
	var err error
	if shared, err = os.MkdirTemp("", "sweep"); err != nil {
		return nil, err
	}
	device := func(string) (compute.Backend, error) { return backend.Open(backend.Options{Name: "go"}) }
	s, err := Create(filepath.Join(shared, "sweep"), small(), Env{OpenSets: embedded, OpenDevice: device})
	if err != nil {
		return nil, err
	}
	for _, task := range slices.Backward(s.Tasks) {
		if err := s.Do(context.Background(), task); err != nil {
			return nil, err
		}
	}
	_, err = s.Merge(context.Background())
	return s, err
})

func whole(t *testing.T) *Sweep {
	t.Helper()
	s, err := undisturbed()
	if err != nil {
		t.Fatal(err)
	}
	return s
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

// TestKilled: a sweep whose processes are killed at different moments, and started again, ends in the same reports and cards.
func TestKilled(t *testing.T) {
	if os.Getenv("CURE_PROOF") == "" {
		t.Skip("a minute of killing processes, for make proof")
	}
	want := whole(t)
	s := create(t, small())
	var mutex sync.Mutex
	tries := make([]int, len(s.Tasks))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	worker := func(ctx context.Context, task Task) *exec.Cmd {
		mutex.Lock()
		defer mutex.Unlock()
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d", taskEnv, s.Dir, task.Index))
		if n := tries[task.Index]; n < 2 && task.Index%2 == 0 { // every other task, twice, later the second time
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", killEnv, 150+100*(task.Index%5)+400*n))
		}
		tries[task.Index]++
		return cmd
	}
	kills := 0
	for {
		err := s.Run(t.Context(), Local{Jobs: 2, Worker: worker})
		if err == nil {
			break
		}
		if kills++; !errors.Is(err, ErrFailed) || kills > 10 {
			t.Fatalf("run %d: %v", kills, err)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
	if m, err := s.Merge(t.Context()); err != nil || len(m.Cards) != 2 || m.Missing != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	compared := 0
	err = filepath.WalkDir(filepath.Join(want.Dir, "mini"), func(path string, _ os.DirEntry, err error) error {
		below, e := filepath.Rel(want.Dir, path)
		if kind := filepath.Base(filepath.Dir(filepath.Dir(path))); err == nil && e == nil && strings.HasSuffix(path, ".json") && (kind == "reports" || filepath.Base(filepath.Dir(path)) == "cards") {
			compared++
			if got, want := timeless(t, filepath.Join(s.Dir, below)), timeless(t, path); got != want {
				t.Errorf("%s is\n%s\nwant\n%s", below, got, want)
			}
		}
		return errors.Join(err, e)
	})
	if err != nil || compared < 5 {
		t.Errorf("%d files compared (%v)", compared, err)
	}
}

// TestStates: a task fails, is told with its reason, holds up what needs it alone, and succeeds once the cause is gone.
func TestStates(t *testing.T) {
	g := small()
	g.Attacks, g.Shard = nil, 0
	s := create(t, g)
	phases := func() (list []Phase) {
		t.Helper()
		states, err := s.States()
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range states {
			list = append(list, state.Phase)
		}
		return list
	}
	// trainings of natural and TRADES; natural's last, TRADES' best and last
	if got, want := phases(), []Phase{Ready, Ready, Waits, Waits, Waits}; !slices.Equal(got, want) {
		t.Fatalf("at first %v, want %v", got, want)
	}
	inTheWay := filepath.Join(s.Dir, "mini/runs", s.Tasks[0].Run)
	if err := write(inTheWay, []byte("no folder")); err != nil {
		t.Fatal(err)
	}
	err := s.Do(t.Context(), s.Tasks[0])
	if err == nil || !strings.Contains(err.Error(), s.Tasks[0].Name) {
		t.Fatalf("with a file in the way: %v", err)
	}
	states, err := s.States()
	if err != nil || states[0].Phase != Failed || !strings.Contains(states[0].Why, s.Tasks[0].Run) {
		t.Errorf("state %v (%v)", states[0], err)
	}
	m, err := s.Merge(t.Context())
	if err != nil || len(m.Cards) != 0 || len(m.Missing) != 2 || !strings.Contains(m.Missing[0], "is waiting") {
		t.Errorf("merged %+v, %v", m, err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	held, err := s.claim(t.Context(), s.Tasks[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := phases()[0]; got != Work {
		t.Errorf("claimed: %s, want %s", got, Work)
	}
	// Another process waits for whoever has claimed the task, and then for whoever trains the run.
	said := make(chan string, 10)
	s.Log = lines(func(line string) { said <- line })
	end := make(chan error, 1)
	go func() { end <- s.Do(t.Context(), s.Tasks[0]) }()
	if line := <-said; !strings.Contains(line, s.Tasks[0].Name+" is in work in another process: waiting") {
		t.Errorf("said %q", line)
	}
	lock := holdRun(t, inTheWay)
	held.release()
	for line := range said { // training says that it begins
		if strings.Contains(line, "is trained by another process: waiting") {
			break
		}
	}
	if got := phases()[0]; got != Work {
		t.Errorf("waiting: %s, want %s", got, Work)
	}
	lock.Close()
	go func() {
		for range said {
		}
	}()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	if got, want := phases(), []Phase{Done, Ready, Ready, Waits, Waits}; !slices.Equal(got, want) {
		t.Errorf("at last %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Do(ctx, s.Tasks[1]); !errors.Is(err, context.Canceled) || phases()[1] != Ready {
		t.Errorf("interrupted: %v, %v", err, phases())
	}
}

type lines func(string)

func (f lines) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

// holdRun holds the lock of a run folder, as a process that trains in it does.
func holdRun(t *testing.T, dir string) *os.File {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
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
		flags := make(attacks.Flags, task.To-task.From)
		put(task, &attacks.Report{Weights: "abc", Records: [2]int{task.From, task.To}, N: len(flags), Clean: attacks.Clean{Flags: flags},
			Attacks: []*attacks.Result{{Name: "fgsm-rs+fgsm", RobustFlags: flags}}})
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

func TestCost(t *testing.T) {
	hundred := 100
	g := Grid{Preset: "mini", Methods: []string{"trades"}, AutoAttack: &hundred, Attacks: []string{"ddn"}, Shard: 500}
	s := create(t, g)
	forward, err := s.Tasks[0].Arch.MACs()
	if err != nil {
		t.Fatal(err)
	}
	const held = 509. // a tenth of 5,085, rounded
	for i, want := range map[int]float64{
		0: 6 * (27*(5085-held) + held*22), // 6 epochs: TRADES steps, then PGD-10 on validation images
		1: 500 * (1 + 42 + 42),            // PGD-20, C&W-20
		3: 17 * (1 + 42 + 42),
		7: 100 * 9767, // AutoAttack, as attacks.OfficialPasses has it
		8: math.NaN(),
	} {
		cost, err := s.Cost(s.Tasks[i])
		if got := cost / 2 / float64(forward); err != nil || math.Abs(got-want) > 1e-6*want || math.IsNaN(got) != math.IsNaN(want) {
			t.Errorf("%s: %g forward passes (%v), want %g", s.Tasks[i].Name, got, err, want)
		}
	}
	// Measured: 82.2 images a second in TRADES steps of this network.
	cost, err := s.Cost(s.Tasks[0])
	if minutes, steps := cost/DefaultGFLOPS/6e10, 6*4576/82.2/60; err != nil || minutes < steps || minutes > 1.2*steps {
		t.Errorf("%.1f minutes for TRADES (%v), its steps alone take %.1f", minutes, err, steps)
	}
}
