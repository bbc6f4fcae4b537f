package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/weights"
)

const tinyRun = " --width 2 --epochs 1 --batch 8 --data images.bin --steps 1 --eval-images 4"

// TestTrain runs each method in a folder, whose final weights load again.
func TestTrain(t *testing.T) {
	methods := []string{"natural", "cure", "act", "akd2", "dafa", "las-at"} // all kinds of second networks
	if os.Getenv("CURE_PROOF") != "" {
		methods = cureml.MethodNames()
	}
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			dir := workplace(t)
			length, steps := tinyRun, "2"
			if method == "cure-eff" || method == "dafa" { // which begin with another epoch
				length, steps = length+" --epochs 2", "4"
			}
			m, err := cureml.NewMethod(cureml.Defaults(method))
			if err != nil {
				t.Fatal(err)
			}
			for flag, role := range map[string]string{" --teacher": cureml.RobustTeacher, " --natural-teacher": cureml.NaturalTeacher} {
				if learnsFrom(m, role) {
					length += flag + " w.safetensors"
				}
			}
			o := cure(t, dir, strings.Fields("train --method "+method+" --out run --init w.safetensors"+length)...)
			if !strings.HasPrefix(o.stdout, method+": "+steps+" steps in ") || !strings.HasSuffix(o.stdout, "weights in run/final.safetensors\n") {
				t.Errorf("standard output %q", o.stdout)
			}
			if !strings.Contains(o.stderr, method+" train step "+steps+"/"+steps) || !strings.Contains(o.stderr, "test robust") {
				t.Errorf("standard error %q", o.stderr)
			}
			cure(t, dir, strings.Fields("eval --weights run --arch resnet18 --width 2 --data images.bin --attack natural")...)
			c := cureml.Defaults(method)
			c.Arch = nn.Arch{Name: "resnet18", Width: 2, Classes: 10}
			networks, err := cureml.RunNetworks(c)
			if err != nil {
				t.Fatal(err)
			}
			for _, network := range networks {
				args := strings.Fields("eval --weights run --network " + network + " --data images.bin --attack natural")
				switch network {
				case cureml.Strategy: // its logits are actions
					wantFailure(t, finish(t, command(dir, args...)), 1, "classes, the data has 10")
				case cureml.Best:
					wantFailure(t, finish(t, command(dir, args...)), 1, "only runs that evaluate a validation split select one")
				default:
					cure(t, dir, args...)
				}
			}
			if !slices.Contains(networks, cureml.Revision) {
				wantFailure(t, finish(t, command(dir, strings.Fields("eval --weights run --network revision --data images.bin --attack natural")...)), 2,
					`--network "revision": the run folder run (method `+method+`) has student, best`)
			}
		})
	}
}

// TestTrainAverage: a run with a weight average is evaluated by it, and gives it to eval and export.
func TestTrainAverage(t *testing.T) {
	dir := workplace(t)
	cure(t, dir, strings.Fields("train --method at --out run --set average.decay=0.9 --validation 0.5"+tinyRun+" --batch 4")...)
	for network, file := range map[string]string{"average": "average.safetensors", "best": "best.safetensors", "student": "final.safetensors"} {
		cure(t, dir, strings.Fields("eval --weights run --network "+network+" --data images.bin --attack natural --json "+network+".json")...)
		if r := report(t, filepath.Join(dir, network+".json")); r.Weights != "run/"+file {
			t.Errorf("--network %s evaluates %s, want run/%s", network, r.Weights, file)
		}
	}
	cure(t, dir, "export", "run", "--network", "average", "--out", "average.safetensors")
	wantSame(t, dir, true, "average.safetensors", "run/average.safetensors")
	wantSame(t, dir, true, "average.safetensors", "run/best.safetensors")
	wantSame(t, dir, false, "average.safetensors", "run/final.safetensors")
}

// TestTrainExtra mixes images of another file into the batches.
func TestTrainExtra(t *testing.T) {
	dir := workplace(t)
	writeImages(t, filepath.Join(dir, "more.bin"), 24)
	c, err := cureml.ParseConfig([]byte(cure(t, dir, strings.Fields("train --print-config --method at --extra more.bin")...).stdout))
	if err != nil || c.Extra != (cureml.ExtraConfig{Data: "more.bin", Fraction: 0.7}) {
		t.Errorf("extra %+v, %v", c.Extra, err)
	}
	o := cure(t, dir, strings.Fields("train --method at --extra more.bin --extra-fraction 0.5 --out run"+tinyRun)...)
	if !strings.HasPrefix(o.stdout, "at: 2 steps in ") {
		t.Errorf("standard output %q, want as many steps as without extra images", o.stdout)
	}
	cure(t, dir, strings.Fields("train --method at --out plain"+tinyRun)...)
	wantSame(t, dir, false, "run/final.safetensors", "plain/final.safetensors")
	wantFailure(t, finish(t, command(dir, strings.Fields("train --method at --extra w.safetensors --out new"+tinyRun)...)), 1, "extra.data: data: w.safetensors: ")
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a run folder was made although the extra images cannot be read")
	}
}

// TestTrainInterrupted stops a run with SIGINT, looks into the unfinished folder and resumes it by --resume and --out
// alone.
func TestTrainInterrupted(t *testing.T) {
	dir := workplace(t)
	epochs := 15
	for try := 0; !interrupt(t, dir, epochs); try++ { // a run that ended before the signal came is repeated with more to do
		epochs *= 4
		if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil || try == 3 {
			t.Fatalf("%d epochs ended before they could be interrupted (%v)", epochs/4, err)
		}
	}
	o := cure(t, dir, strings.Fields("eval --weights run --data images.bin --attack natural --json out.json")...)
	if r := report(t, filepath.Join(dir, "out.json")); r.Weights != "run/checkpoint.safetensors" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "is not finished") || !strings.Contains(o.stderr, r.Warnings[0]) {
		t.Errorf("weights %s, warnings %q, standard error %q", r.Weights, r.Warnings, o.stderr)
	}
	cure(t, dir, "export", "run", "--out", "early.safetensors")
	wantFailure(t, finish(t, command(dir, strings.Fields("train --resume --out run --lr 0.3")...)), 1, "was started with another config: schedule.max 0.2 -> 0.3")
	wantFailure(t, finish(t, command(dir, strings.Fields("train --resume --out run --method cure")...)), 2, "--method cure: run holds a run of natural; leave --method out")
	wantFailure(t, finish(t, command(dir, strings.Fields("export run --network best --out best.safetensors")...)), 1, "only runs that evaluate a validation split select one")

	cure(t, dir, "train", "--resume", "--out", "run")
	text, err := os.ReadFile(filepath.Join(dir, "run", "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for i, line := range lines {
		var m struct{ Step int }
		if err := json.Unmarshal(line, &m); err != nil || m.Step != i+1 {
			t.Fatalf("line %d of metrics.jsonl is %s (%v)", i+1, line, err)
		}
	}
	if len(lines) != 2*epochs {
		t.Errorf("%d lines in metrics.jsonl, want one for each of %d steps", len(lines), 2*epochs)
	}
	wantSame(t, dir, false, "early.safetensors", "run/final.safetensors")
}

// interrupt starts a run and stops it after its first line; false means that it had ended already.
func interrupt(t *testing.T, dir string, epochs int) bool {
	t.Helper()
	cmd := command(dir, strings.Fields("train --method natural --width 2 --batch 8 --data images.bin --eval-every 0 --log-every 1 --out run --epochs "+strconv.Itoa(epochs))...)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	lines.Scan()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	last := lines.Text()
	for lines.Scan() {
		last = lines.Text()
	}
	err = cmd.Wait()
	if err == nil {
		return false
	}
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(last, "interrupted") || !strings.Contains(last, "--resume") {
		t.Fatalf("%v, last line %q", err, last)
	}
	return true
}

// TestTrainConfig: what --print-config writes is a config that --config reads, and flags override it.
func TestTrainConfig(t *testing.T) {
	dir := workplace(t)
	flags := "--method cure --arch wrn-10-1 --width 2 --epochs 3 --lr 0.05 --schedule step:0.1:2,3 --eps 4/255 --percentile 0.5 --face released --nesterov=false --mean 0.5,0.5,0.5 --std 0.2,0.2,0.2 --seed 9"
	printed := cure(t, dir, append([]string{"train", "--print-config"}, strings.Fields(flags)...)...).stdout
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(printed), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := cureml.ParseConfig([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	if c.Method != "cure" || c.Arch.Name != "wrn-10-1" || c.Arch.Width != 2 || c.Epochs != 3 || c.Schedule.Kind != "step" || c.Schedule.Max != 0.05 ||
		c.Attack.Eps != 4./255 || c.Cure.Percentile != 0.5 || c.Cure.Face != "released" || c.SGD.Nesterov || len(c.Arch.Mean) != 3 || c.Seed != 9 {
		t.Errorf("config %s", printed)
	}
	if again := cure(t, dir, "train", "--print-config", "--config", "config.json").stdout; again != printed {
		t.Errorf("read and printed again:\n%s\nwant:\n%s", again, printed)
	}
	changed := cure(t, dir, "train", "--print-config", "--config", "config.json", "--epochs", "4").stdout
	if want := strings.Replace(printed, `"epochs": 3`, `"epochs": 4`, 1); changed != want || changed == printed {
		t.Errorf("with --epochs 4:\n%s\nwant:\n%s", changed, want)
	}
	cure(t, dir, "train", "--config", "config.json", "--batch", "8", "--data", "images.bin", "--epochs", "1", "--steps", "1", "--eval-every", "0", "--out", "run")
}

// TestExport compares what is exported with the weights it comes from.
func TestExport(t *testing.T) {
	dir := workplace(t)
	cure(t, dir, strings.Fields("train --method cure --out run"+tinyRun)...)
	cure(t, dir, "export", "run", "--out", "student.safetensors")
	wantSame(t, dir, true, "student.safetensors", "run/final.safetensors")
	cure(t, dir, "export", "run", "--network", "revision", "--out", "revision.safetensors")
	wantSame(t, dir, true, "revision.safetensors", "run/revision.safetensors")
	wantSame(t, dir, false, "student.safetensors", "revision.safetensors")

	// an unfinished run is read from its checkpoint, which at the end holds the same
	for _, name := range []string{"final.safetensors", "revision.safetensors"} {
		if err := os.Rename(filepath.Join(dir, "run", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cure(t, dir, "export", "run", "--out", "student.safetensors", "--force")
	wantSame(t, dir, true, "student.safetensors", "final.safetensors")
	cure(t, dir, "export", "run", "--network", "revision", "--out", "checkpoint.safetensors")
	wantSame(t, dir, true, "checkpoint.safetensors", "revision.safetensors")

	// a file, without and with its network
	cure(t, dir, "export", "w.safetensors", "--out", "copy.safetensors")
	wantSame(t, dir, true, "copy.safetensors", "w.safetensors")
	cure(t, dir, "export", "w.safetensors", "--arch", "resnet18", "--width", "2", "--out", "checked.safetensors")
	wantSame(t, dir, true, "checked.safetensors", "w.safetensors")
	wantFailure(t, finish(t, command(dir, "export", "w.safetensors", "--arch", "resnet34", "--width", "2", "--out", "no.safetensors")), 1,
		"the file holds resnet18 of width 2 with 10 classes, not resnet34")

	// a file of PyTorch whose weights lie in a container
	torch, err := filepath.Abs("../../weights/testdata/state_dict.pt")
	if err != nil {
		t.Fatal(err)
	}
	cure(t, dir, "export", torch, "--out", "torch.safetensors")
	wrapped, err := weights.Read(torch)
	if err != nil {
		t.Fatal(err)
	}
	d, err := weights.Read(filepath.Join(dir, "torch.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	inner := weights.Peel(wrapped)
	if len(d.Names) == 0 || len(d.Names) != len(inner.Names) {
		t.Errorf("%d tensors of %d were written", len(d.Names), len(inner.Names))
	}
	for _, name := range inner.Names {
		if got, _ := d.Get(name); !bytes.Equal(got.Data, inner.Tensors[name].Data) {
			t.Errorf("tensor %s was changed", name)
		}
	}
}

// wantSame compares the tensors of two files; metadata may differ.
func wantSame(t *testing.T, dir string, same bool, a, b string) {
	t.Helper()
	x, err := weights.Read(filepath.Join(dir, a))
	if err != nil {
		t.Fatal(err)
	}
	y, err := weights.Read(filepath.Join(dir, b))
	if err != nil {
		t.Fatal(err)
	}
	equal := len(x.Names) == len(y.Names)
	for _, name := range x.Names {
		other, ok := y.Get(name)
		equal = equal && ok && bytes.Equal(x.Tensors[name].Data, other.Data)
	}
	if equal != same {
		t.Errorf("%s and %s hold the same tensors: %v, want %v", a, b, equal, same)
	}
}
