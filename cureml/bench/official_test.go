package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data/mini"
)

// official is a job of two images and a network of width 2; python is a script in the place of an interpreter.
func official(t *testing.T, arch, python string) AutoAttackJob {
	t.Helper()
	a, err := nn.Parse(arch, 2, 10)
	if err != nil {
		t.Fatal(err)
	}
	net, err := nn.Init(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	set, err := mini.Test().Slice(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+python), 0o755); err != nil {
		t.Fatal(err)
	}
	return AutoAttackJob{Network: net, Set: set, Ball: attacks.Ball{Norm: attacks.Linf, Eps: 0.5}, Backend: "go", Rows: 2, Official: t.TempDir(), Python: path, Threads: 1}
}

func TestCheckOfficial(t *testing.T) {
	const sound = "exit 0"
	if err := official(t, "resnet18", sound).CheckOfficial(t.Context()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name   string
		python string
		arch   string
		change func(j *AutoAttackJob)
		want   string
	}{
		{"network", sound, "resnet34", func(*AutoAttackJob) {}, "network resnet34: the comparison with the official code knows resnet18 only"},
		{"threads", sound, "resnet18", func(j *AutoAttackJob) { j.Threads = 0 }, "0 threads: want at least 1"},
		{"module", "echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'autoattack'\" >&2; exit 1", "resnet18", func(*AutoAttackJob) {}, "No module named 'autoattack'"},
		{"interpreter", sound, "resnet18", func(j *AutoAttackJob) { j.Python = "none" }, "none cannot run the official code"},
	} {
		j := official(t, c.arch, c.python)
		c.change(&j)
		if err := j.CheckOfficial(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", c.name, err, c.want)
		}
	}
	none := official(t, "resnet34", "exit 1")
	none.Official = ""
	if err := none.CheckOfficial(t.Context()); err != nil {
		t.Errorf("not asked for: %v", err)
	}
}

// TestOfficialFails: what was measured here comes with the error.
func TestOfficialFails(t *testing.T) {
	j := official(t, "resnet18", "echo out of luck >&2; exit 3")
	for name, values := range j.Network.Values { // class 0 for every image, which is wrong: there is nothing to attack
		if strings.HasSuffix(name, "linear.bias") {
			values[0] = 1e6
		}
	}
	j.Set.Labels = []int32{1, 2}
	r, err := AutoAttack(t.Context(), j)
	if err == nil || !strings.Contains(err.Error(), "the official code: exit status 3: out of luck") {
		t.Errorf("error %v", err)
	}
	if r == nil || r.Report == nil || r.Report.N != 2 || r.Passes == 0 || r.Official != nil {
		t.Errorf("result %+v", r)
	}
}
