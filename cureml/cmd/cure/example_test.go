package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cure/cureml/backend"
)

// tiny makes the examples of a command small: flags that come last win.
var tiny = map[string]string{
	"train":                    " --data images.bin --batch 8",
	"eval":                     " --data images.bin --records 0:4",
	"attack":                   " --data images.bin --records 0:2 --steps 1",
	"bench":                    " --width 2 --batch 2 --steps 1",
	"analyze corruptions":      " --data images.bin --weights w.safetensors --width 2 --records 0:2 --only fog --out c",
	"analyze min-perturbation": " --data images.bin --weights w.safetensors --width 2 --records 0:1 --steps 1 --attack ddn --out p",
	"bench scaling":            " --width 2 --batch 4 --steps 1 --devices 1 --backend go",
	"bench shapes":             " --width 1 --batch 2 --steps 1 --backend go",
	"bench autoattack":         " --data images.bin --records 0:2 --weights w.safetensors --width 2 --eps 1",
	"analyze":                  " --data images.bin --weights w.safetensors --width 2 --records 0:4",
	"analyze masks":            " --data images.bin --records 0:4 --batch 2 --steps 1 --weights w.safetensors --width 2",
	"analyze masks --run":      " --data images.bin --records 0:4 --batch 2 --steps 1",
	"analyze gradients":        " --data images.bin --records 0:4 --batch 2 --steps 1 --weights w.safetensors --width 2",
	"analyze gradients --run":  " --data images.bin --records 0:4 --batch 2 --steps 1",
	"analyze revision --run":   " --data images.bin --records 0:4 --attack fgsm",
}

// tinyFlags are those of a command, or of its subcommand, others for an analysis of a run.
func tinyFlags(args []string) string {
	name := strings.Join(args[:min(2, len(args))], " ")
	if slices.Contains(args, "--run") {
		name += " --run"
	}
	if flags, ok := tiny[name]; ok {
		return flags
	}
	return tiny[args[0]]
}

// TestExamples executes the examples in the help of every command, those of one command in one folder. They run at a
// tiny size, on the Go backend; with CURE_PROOF=1 they run as they are printed.
func TestExamples(t *testing.T) {
	proof := os.Getenv("CURE_PROOF") != ""
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if !c.HasParent() || !c.IsAvailableCommand() {
			return
		}
		t.Run(c.CommandPath(), func(t *testing.T) {
			if c.Example == "" {
				t.Fatal("the help has no example")
			}
			if !proof && slices.Contains([]string{"cure analyze layerwise", "cure analyze overfitting", "cure sweep run", "cure sweep merge"}, c.CommandPath()) {
				t.Skip("it trains for half a minute; TestAnalyzeStudy and TestSweep have what it leaves")
			}
			dir := workplace(t)
			for line := range strings.Lines(c.Example) {
				if !proof {
					line = strings.ReplaceAll(line, "--width 4", "--width 2")
				}
				words := strings.Fields(line)
				if len(words) < 2 || words[0] != "cure" {
					t.Fatalf("example %q does not begin with cure and a command", line)
				}
				args := words[1:]
				if !proof && (args[0] != "train" || strings.Contains(line, "--method")) {
					args = append(args, strings.Fields(tinyFlags(args))...)
				}
				execute := command(dir, args...)
				if proof {
					execute.Env = append(execute.Env, "GOMLX_BACKEND=") // the last one counts
				}
				runExample(t, line, execute)
			}
		})
	}
	visit(newRoot())
}

func runExample(t *testing.T, line string, cmd *exec.Cmd) {
	t.Helper()
	_, missing := backend.Find()
	switch fields := strings.Fields(line); {
	case fields[1] == "setup" && missing != nil, fields[1] == "data" && fields[2] == "download":
		t.Skipf("%q needs the network", strings.TrimSpace(line))
	case fields[1] == "doctor" && missing != nil:
		if o := finish(t, cmd); o.code != 1 {
			t.Errorf("%q: exit code %d without XLA, want 1", line, o.code)
		}
		return
	}
	if o := finish(t, cmd); o.code != 0 {
		t.Errorf("%q: exit code %d\n%s", line, o.code, o.stderr)
	}
}

// TestDataSets: data sets are found where they are looked for, and described.
func TestDataSets(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "sets")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"} {
		writeImages(t, filepath.Join(folder, name), 10)
	}
	list := func(env string, args ...string) string {
		cmd := command(dir, args...)
		cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CACHE_HOME="+dir, env)
		return finish(t, cmd).stdout
	}
	const found = "sets: CIFAR-10 (train)"
	for _, c := range []struct {
		env  string
		args []string
		want bool
	}{
		{"CURE_DATA=", []string{"data", "list"}, false},
		{"CURE_DATA=", []string{"data", "list", "sets"}, true},
		{"CURE_DATA=" + folder, []string{"data", "list"}, true},
		{"CURE_DATA=none:" + folder, []string{"doctor"}, true},
		{"CURE_DATA=", []string{"doctor", "--data", "sets"}, true},
	} {
		out := list(c.env, c.args...)
		if strings.Contains(out, found) != c.want || !strings.Contains(out, "mini: CIFAR-10 mini (exact subset), embedded") {
			t.Errorf("%s cure %s:\n%s", c.env, strings.Join(c.args, " "), out)
		}
	}
	o := cure(t, dir, "data", "info", "sets")
	if !strings.HasPrefix(o.stdout, "CIFAR-10, train: 50 images [32, 32, 3], 10 classes\n") || !strings.Contains(o.stdout, "airplane 5, automobile 5") ||
		!strings.Contains(o.stderr, "no test images: data: sets: ") {
		t.Errorf("data info:\n%s%s", o.stdout, o.stderr)
	}
	if o := cure(t, dir, "data", "info", "sets/data_batch_1.bin"); strings.Count(o.stdout, "images") != 1 {
		t.Errorf("data info of one file:\n%s", o.stdout)
	}
}

func TestChannelMoments(t *testing.T) {
	mean, std := channelMoments([]uint8{0, 51, 255, 255, 51, 0})
	if mean != [3]float64{0.5, 0.2, 0.5} || std != [3]float64{0.5, 0, 0.5} {
		t.Errorf("mean %v, std %v", mean, std)
	}
}
