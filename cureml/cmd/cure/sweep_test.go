package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSweep plans a sweep, does a task by each engine's variable, the rest as local processes, and merges; the folder of
// its data set is one of `cure benchmark`.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	plan := strings.Fields("sweep plan --preset ci --methods natural --epochs 1 --shard 5 --out s")
	o := cure(t, dir, plan...)
	for _, want := range []string{"0     mini-natural-resnet18-w2-s0-train", "2     mini-natural-resnet18-w2-s0-last-pgd20,cw20-5-8", "1 trainings: ", "2 evaluations: at most "} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("plan without %q:\n%s", want, o.stdout)
		}
	}
	if again := cure(t, dir, plan...); again.stdout != o.stdout {
		t.Errorf("the second plan:\n%s", again.stdout)
	}
	wantFailure(t, finish(t, command(dir, append(plan, "--seeds", "3")...)), 2, "s holds the sweep of another grid (seeds [0] -> [3])")

	wantFailure(t, finish(t, command(dir, "sweep", "task", "--out", "s")), 2, "--index is missing, and so are SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX")
	wantFailure(t, finish(t, command(dir, "sweep", "task", "--out", "s", "--index", "3")), 2, "index 3: s has tasks 0 to 2")
	for variable, name := range map[string]string{"SLURM_ARRAY_TASK_ID=0": "train", "JOB_COMPLETION_INDEX=2": "last-pgd20,cw20-5-8"} {
		task := command(dir, "sweep", "task", "--out", "s")
		task.Env = append(task.Env, variable)
		if o := finish(t, task); o.code != 0 || o.stdout != "mini-natural-resnet18-w2-s0-"+name+": done\n" {
			t.Errorf("%s: exit code %d, %s%s", variable, o.code, o.stdout, o.stderr)
		}
	}
	if o := cure(t, dir, "sweep", "status", "--out", "s"); o.stdout != "3 tasks: 2 done, 1 ready\n" {
		t.Errorf("status %q", o.stdout)
	}
	wantFailure(t, finish(t, command(dir, "sweep", "merge", "--out", "s")), 1, "1 of 1 rows are not whole: mini/natural-resnet18-w2-s0 (task 1 is ready)")

	o = cure(t, dir, "sweep", "run", "--jobs", "2", "--out", "s")
	if !strings.Contains(o.stdout, "Natural  resnet18-w2  last") || !strings.Contains(o.stderr, "2 of 3 tasks are done\n") || !strings.Contains(o.stderr, "3 of 3 tasks are done\n") {
		t.Errorf("run:\n%s%s", o.stdout, o.stderr)
	}
	if merged := cure(t, dir, "sweep", "merge", "--out", "s"); merged.stdout != o.stdout {
		t.Errorf("merge:\n%s\nwant\n%s", merged.stdout, o.stdout)
	}
	same := cure(t, dir, strings.Fields("benchmark --preset ci --methods natural --epochs 1 --out s/mini")...)
	if strings.Contains(same.stderr, "training") || !strings.HasSuffix(o.stdout, same.stdout) {
		t.Errorf("the benchmark of the folder:\n%s%s", same.stdout, same.stderr)
	}

	cure(t, dir, "sweep", "slurm", "--out", "s")
	script, err := os.ReadFile(filepath.Join(dir, "s", "submit.sh"))
	if err != nil || !strings.Contains(string(script), "CURE_SWEEP_FIRST=1 --array=0-1%8") {
		t.Errorf("submit.sh (%v):\n%s", err, script)
	}
	kube := strings.Fields("sweep kubernetes --out s --dir /sweeps/s --claim sweeps --image cure:1")
	if o := cure(t, dir, kube...); !strings.Contains(o.stdout, "completions: 3\n") {
		t.Errorf("manifest:\n%s", o.stdout)
	}
	wantFailure(t, finish(t, command(dir, append(kube, "--memory", "8G")...)), 2, `memory "8G": want a size such as 8Gi`)
}

// TestSweepMoved: a task finds data where --moved says that they lie now.
func TestSweepMoved(t *testing.T) {
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	if err := os.Mkdir(here, 0o755); err != nil {
		t.Fatal(err)
	}
	writeImages(t, filepath.Join(here, "images.bin"), 64)
	cure(t, dir, strings.Fields("sweep plan --preset ci --methods natural --epochs 1 --data here/images.bin --out s")...)
	kube := strings.Fields("sweep kubernetes --out s --dir /sweeps/s --mount /sweeps --claim sweeps --image cure:1")
	if o := cure(t, dir, kube...); !strings.Contains(o.stdout, `"--moved", "`+dir+`=/sweeps"`) {
		t.Errorf("manifest:\n%s", o.stdout)
	}
	if err := os.Rename(here, there); err != nil {
		t.Fatal(err)
	}
	task := strings.Fields("sweep task --out s --index 0")
	wantFailure(t, finish(t, command(dir, task...)), 2, filepath.Join(here, "images.bin")+": no such file or folder")
	if o := cure(t, dir, append(task, "--moved", here+"="+there)...); o.stdout != "images-natural-resnet18-w2-s0-train: done\n" {
		t.Errorf("standard output %q", o.stdout)
	}
}
