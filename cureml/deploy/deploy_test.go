package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func job() Job {
	return Job{
		Name: "table", Dir: "/sweeps/it's: here", Tasks: 2503, Waves: []int{2, 1, 2500}, Parallel: 16, CPUs: 4, GPUs: 1, Memory: "8G",
		Program: "/opt/a b/cure", Limit: "2-00:00:00", Partition: "gpu", Account: "lab",
		Image: "registry.example:5000/lab/cure:1", Claim: "sweeps", Mount: "/sweeps", Planned: "/mnt/it's", Retries: 3, Namespace: "robust",
	}
}

// TestKubernetes reads the manifest with a YAML library and looks up every field.
func TestKubernetes(t *testing.T) {
	for _, gpus := range []int{0, 1} {
		j := job()
		j.GPUs, j.Memory = gpus, "8Gi"
		text, err := j.Kubernetes()
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		for path, want := range map[string]any{
			"apiVersion": "batch/v1", "kind": "Job", "metadata.name": "table", "metadata.namespace": "robust",
			"spec.completionMode": "Indexed", "spec.completions": 2503, "spec.parallelism": 16, "spec.backoffLimitPerIndex": 3,
			"spec.podFailurePolicy.rules.0.action":                         "Ignore",
			"spec.podFailurePolicy.rules.0.onPodConditions.0.type":         "DisruptionTarget",
			"spec.podFailurePolicy.rules.1.action":                         "FailIndex",
			"spec.podFailurePolicy.rules.1.onExitCodes.values.0":           2,
			"spec.template.spec.restartPolicy":                             "Never",
			"spec.template.spec.containers.0.image":                        "registry.example:5000/lab/cure:1",
			"spec.template.spec.containers.0.env.0.name":                   "CURE_DATA",
			"spec.template.spec.containers.0.env.0.value":                  "/sweeps/data",
			"spec.template.spec.containers.0.resources.requests.cpu":       "4",
			"spec.template.spec.containers.0.resources.limits.memory":      "8Gi",
			"spec.template.spec.containers.0.volumeMounts.0.name":          "sweep",
			"spec.template.spec.containers.0.volumeMounts.0.mountPath":     "/sweeps",
			"spec.template.spec.volumes.0.name":                            "sweep",
			"spec.template.spec.volumes.0.persistentVolumeClaim.claimName": "sweeps",
		} {
			if got := lookup(m, path); !reflect.DeepEqual(got, want) {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
		}
		args := []any{"sweep", "task", "--out", "/sweeps/it's: here", "--moved", "/mnt/it's=/sweeps"}
		if gpus > 0 {
			args = slices.Insert(args, 4, any("--backend"), any("cuda"))
		}
		if got := lookup(m, "spec.template.spec.containers.0.args"); !reflect.DeepEqual(got, args) {
			t.Errorf("%d GPUs: arguments %v, want %v", gpus, got, args)
		}
		limits := lookup(m, "spec.template.spec.containers.0.resources.limits").(map[string]any)
		if got, there := limits["nvidia.com/gpu"]; there != (gpus > 0) || there && got != gpus {
			t.Errorf("%d GPUs: limits %v", gpus, limits)
		}
		if setup := lookup(m, "spec.template.spec.initContainers.0.command.2"); (setup != nil) != (gpus > 0) {
			t.Errorf("%d GPUs: setup %v", gpus, setup)
		}
	}
}

// lookup follows a path such as a.0.b; nil where it ends.
func lookup(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// TestSlurm runs both scripts, with a stand-in for sbatch that runs two tasks of each array.
func TestSlurm(t *testing.T) {
	dir := t.TempDir()
	place := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	j := job()
	j.Program = filepath.Join(dir, "the program")
	array, err := j.Slurm()
	if err != nil {
		t.Fatal(err)
	}
	submit, err := j.Submit()
	if err != nil {
		t.Fatal(err)
	}
	place("array.sbatch", array)
	place("submit.sh", submit)
	place("the program", "#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; done >>calls\necho >>calls\n")
	place("sbatch", `#!/bin/bash
echo "$@" >>submissions
n=$(wc -l <submissions)
for a; do case $a in
	--export=ALL,*) export "${a#--export=ALL,}";;
	--array=0-*) last=${a#--array=0-}; last=${last%\%*};;
esac; done
for i in 0 $last; do SLURM_ARRAY_TASK_ID=$i bash array.sbatch; done
echo "$((100+n));cluster"
`)
	cmd := exec.Command("sh", filepath.Join(dir, "submit.sh"))
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "submitted; the last job is 105\n" {
		t.Fatalf("submit.sh: %v\n%s", err, out)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const submissions = `--parsable --export=ALL,CURE_SWEEP_FIRST=0 --array=0-1%16 array.sbatch
--parsable --dependency=afterany:101 --export=ALL,CURE_SWEEP_FIRST=2 --array=0-0%16 array.sbatch
--parsable --dependency=afterany:102 --export=ALL,CURE_SWEEP_FIRST=3 --array=0-999%16 array.sbatch
--parsable --dependency=afterany:103 --export=ALL,CURE_SWEEP_FIRST=1003 --array=0-999%16 array.sbatch
--parsable --dependency=afterany:104 --export=ALL,CURE_SWEEP_FIRST=2003 --array=0-499%16 array.sbatch
`
	if got := read("submissions"); got != submissions {
		t.Errorf("submitted\n%s\nwant\n%s", got, submissions)
	}
	var calls strings.Builder
	for _, index := range []string{"0", "1", "2", "2", "3", "1002", "1003", "2002", "2003", "2502"} {
		calls.WriteString("[sweep][task][--out][/sweeps/it's: here][--backend][cuda][--index][" + index + "]\n")
	}
	if got := read("calls"); got != calls.String() {
		t.Errorf("called\n%s\nwant\n%s", got, calls.String())
	}
	for _, line := range []string{"--cpus-per-task=4", "--mem=8G", "--time=2-00:00:00", "--gres=gpu:1", "--partition=gpu", "--account=lab", "--requeue", "--signal=B:TERM@120"} {
		if !strings.Contains(array, "\n#SBATCH "+line+"\n") {
			t.Errorf("no %s in\n%s", line, array)
		}
	}
	j.GPUs, j.Partition, j.Account = 0, "", ""
	if array, err = j.Slurm(); err != nil || strings.Contains(array, "gres") || strings.Contains(array, "cuda") || strings.Contains(array, "partition") || strings.Contains(array, "account") {
		t.Errorf("without GPUs, partition and account (%v):\n%s", err, array)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		change func(j *Job)
		want   string
	}{
		{func(j *Job) { j.Name = "My table" }, `name "My table": want lower-case`},
		{func(j *Job) { j.Name = strings.Repeat("a", 53) }, "at most 52"},
		{func(j *Job) { j.Dir = "a\nb" }, `folder "a\nb"`},
		{func(j *Job) { j.Tasks, j.Waves = 0, nil }, "0 tasks: want at least 1"},
		{func(j *Job) { j.Waves = []int{1} }, "groups of [1] tasks: want 2503 in all"},
		{func(j *Job) { j.Parallel = 0 }, "0 tasks at a time: want at least 1"},
		{func(j *Job) { j.CPUs = 0 }, "0 CPUs: want at least 1"},
		{func(j *Job) { j.GPUs = -1 }, "-1 GPUs: want 0 or 1"},
		{func(j *Job) { j.GPUs = 2 }, "2 GPUs: want 0 or 1: a task computes on one device"},
		{func(j *Job) { j.Memory = "lots" }, `memory "lots": want a size such as 8G`},
	} {
		j := job()
		c.change(&j)
		for form, write := range map[string]func() (string, error){"slurm": j.Slurm, "submit": j.Submit, "kubernetes": j.Kubernetes} {
			if text, err := write(); err == nil || !strings.Contains(err.Error(), c.want) || text != "" {
				t.Errorf("%s: got %v, want %q", form, err, c.want)
			}
		}
	}
	for _, c := range []struct {
		change func(j *Job)
		want   string
	}{
		{func(j *Job) { j.Limit = "a day" }, `time limit "a day": want hours`},
		{func(j *Job) { j.Partition = "a b" }, `partition "a b"`},
		{func(j *Job) { j.Account = "a\n#SBATCH" }, `account "a\n#SBATCH"`},
		{func(j *Job) { j.Program = "" }, `program ""`},
	} {
		j := job()
		c.change(&j)
		if _, err := j.Slurm(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, c := range []struct {
		change func(j *Job)
		want   string
	}{
		{func(j *Job) { j.Tasks, j.Waves = 100_001, nil }, "an Indexed Job has at most 100000"},
		{func(j *Job) { j.Parallel = 10_001 }, "an Indexed Job has at most 10000"},
		{func(j *Job) { j.Image = "a b" }, `image "a b"`},
		{func(j *Job) { j.Claim = "A" }, `claim "A"`},
		{func(j *Job) { j.Mount = "sweeps" }, `mount "sweeps": want an absolute path`},
		{func(j *Job) { j.Dir = "/sweeps2/x" }, "folder /sweeps2/x: want one below the mount /sweeps"},
		{func(j *Job) { j.Planned = "mnt" }, `volume at "mnt": want an absolute path`},
		{func(j *Job) { j.Retries = -1 }, "-1 retries"},
		{func(j *Job) { j.Namespace = "a/b" }, `namespace "a/b"`},
	} {
		j := job()
		j.Memory = "8Gi"
		c.change(&j)
		if _, err := j.Kubernetes(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
