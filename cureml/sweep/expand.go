package sweep

import (
	"fmt"
	"slices"

	"cure/cureml/benchmark"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// Kind is what a task does.
type Kind string

// Kinds of tasks.
const (
	Train Kind = "train"
	Eval  Kind = "eval"
)

// Task is one piece of a sweep: a run folder, or an evaluation of some images.
type Task struct {
	Index int    `json:"index"`
	Name  string `json:"name"` // unlike any other, and a name for files
	Kind  Kind   `json:"kind"`
	// Data is the folder of the data set in the sweep, Run that of the run in it.
	Data string  `json:"data"`
	Run  string  `json:"run"`
	Row  string  `json:"row"`
	Arch nn.Arch `json:"arch"`
	Seed uint64  `json:"seed"`
	// Part and the images From to To-1 are what an evaluation is of.
	Part benchmark.Part `json:"part,omitzero"`
	From int            `json:"from,omitempty"`
	To   int            `json:"to,omitempty"`
	// Needs are the tasks that come first: trainings whose networks this one starts from, learns from or attacks.
	Needs []int `json:"needs,omitempty"`
}

// Set is a data set of a sweep.
type Set struct {
	Folder  string `json:"folder"`
	Ref     string `json:"ref"` // as the grid has it; "" is the preset's
	Name    string `json:"name"`
	Classes int    `json:"classes"`
	Train   int    `json:"train"` // images, cut to the preset's numbers
	Test    int    `json:"test"`
}

// expand lists the tasks of a grid: trainings that need no other, then those that start or learn from them, then the
// evaluations, so that whoever takes them in order waits least. Within these: by data set, seed, network and row as
// package recipes orders them, then by evaluation and image.
func (s *Sweep) expand() (tasks []Task, err error) {
	var trainings, evaluations []Task
	depth := map[string]int{}
	for _, set := range s.Sets {
		b, err := s.benchmark(set)
		if err != nil {
			return nil, err
		}
		archs, err := s.Grid.archs(b.Preset, set.Classes)
		if err != nil {
			return nil, err
		}
		rows, err := recipes.Select(join(s.Grid.Methods))
		if err != nil {
			return nil, err
		}
		for _, seed := range s.Grid.seeds() {
			for _, arch := range archs {
				needed, err := withNeeds(rows)
				if err != nil {
					return nil, err
				}
				for _, row := range needed {
					t := Task{Kind: Train, Data: set.Folder, Run: recipes.Folder(row.Name, arch, seed), Row: row.Name, Arch: arch, Seed: seed}
					t.Name = t.Data + "-" + t.Run + "-train"
					if _, err := b.Parts(row, arch, seed); err != nil { // its recipe, and what lies in its folder
						return nil, fmt.Errorf("sweep: %s: %w", t.Run, err)
					}
					for _, need := range row.Needs() {
						depth[t.Name] = max(depth[t.Name], 1+depth[set.Folder+"-"+recipes.Folder(need, arch, seed)+"-train"])
					}
					trainings = append(trainings, t)
				}
				for _, row := range rows {
					list, err := s.evaluations(b, set, row, arch, seed)
					if err != nil {
						return nil, err
					}
					evaluations = append(evaluations, list...)
				}
			}
		}
	}
	slices.SortStableFunc(trainings, func(a, b Task) int { return depth[a.Name] - depth[b.Name] })
	tasks = append(trainings, evaluations...)
	index := map[string]int{}
	for i := range tasks {
		tasks[i].Index, index[tasks[i].Name] = i, i
	}
	for i := range tasks {
		if err := tasks[i].need(index); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// evaluations are the shards of one row's evaluations.
func (s *Sweep) evaluations(b *benchmark.Benchmark, set Set, row recipes.Row, arch nn.Arch, seed uint64) (list []Task, err error) {
	parts, err := b.Parts(row, arch, seed)
	if err != nil {
		return nil, err
	}
	for _, more := range s.Grid.Attacks {
		parts = append(parts, benchmark.Part{Checkpoint: "last", Attacks: more, Images: set.Test})
	}
	for _, part := range parts {
		size := part.Images
		if s.Grid.Shard > 0 {
			size = s.Grid.Shard
		}
		for from := 0; from < part.Images; from += size {
			t := Task{Kind: Eval, Data: set.Folder, Run: recipes.Folder(row.Name, arch, seed), Row: row.Name, Arch: arch, Seed: seed,
				Part: part, From: from, To: min(from+size, part.Images)}
			t.Name = fmt.Sprintf("%s-%s-%s-%s-%d-%d", t.Data, t.Run, part.Checkpoint, part.Attacks, t.From, t.To)
			list = append(list, t)
		}
	}
	return list, nil
}

// need finds the tasks that come first by their names.
func (t *Task) need(index map[string]int) error {
	runs := []string{t.Run}
	if t.Kind == Train {
		row, err := recipes.Find(t.Row)
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		runs = nil
		for _, name := range row.Needs() {
			runs = append(runs, recipes.Folder(name, t.Arch, t.Seed))
		}
	}
	for _, run := range runs {
		i, ok := index[t.Data+"-"+run+"-train"]
		if !ok {
			return fmt.Errorf("sweep: %s needs the run %s, which no task trains", t.Name, run)
		}
		t.Needs = append(t.Needs, i)
	}
	return nil
}

// withNeeds adds the rows that rows start or learn from, each before the first that needs it.
func withNeeds(rows []recipes.Row) (all []recipes.Row, err error) {
	var add func(row recipes.Row) error
	add = func(row recipes.Row) error {
		if slices.ContainsFunc(all, func(r recipes.Row) bool { return r.Name == row.Name }) {
			return nil
		}
		for _, name := range row.Needs() {
			need, err := recipes.Find(name)
			if err != nil {
				return err
			}
			if err := add(need); err != nil {
				return err
			}
		}
		all = append(all, row)
		return nil
	}
	for _, row := range rows {
		if err := add(row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Waves are how many tasks there are in each group that needs only tasks of the groups before it, in the order of indexes.
func (s *Sweep) Waves() (sizes []int) {
	began := 0 // of the group
	for i, t := range s.Tasks {
		if len(sizes) == 0 || slices.ContainsFunc(t.Needs, func(need int) bool { return need >= began }) {
			sizes, began = append(sizes, 0), i
		}
		sizes[len(sizes)-1]++
	}
	return sizes
}
