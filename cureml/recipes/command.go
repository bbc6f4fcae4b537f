package recipes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"cure/cureml"
	"cure/cureml/optim"
)

// Command is the `cure train` that runs c in the folder out, going on where a run has begun: the flags that make c of
// the method's defaults, and --set for what no flag has.
func Command(c cureml.Config, out string) string {
	words := []string{"cure train --resume --method", c.Method, "--arch", c.Arch.Name, "--width", fmt.Sprint(c.Arch.Width), "--data", quote(c.Data)}
	was := cureml.Defaults(c.Method)
	was.Arch, was.Data = c.Arch, c.Data
	flag := func(name string, changed bool, value any) {
		if changed {
			words = append(words, "--"+name, quote(fmt.Sprint(value)))
		}
	}
	flag("epochs", c.Epochs != was.Epochs, c.Epochs)
	flag("batch", c.Batch != was.Batch, c.Batch)
	flag("seed", true, c.Seed)
	flag("validation", c.Validation != was.Validation, c.Validation)
	flag("init", c.Init != was.Init, c.Init)
	flag("teacher", c.Teacher.Robust != was.Teacher.Robust, c.Teacher.Robust)
	flag("natural-teacher", c.Teacher.Natural != was.Teacher.Natural, c.Teacher.Natural)
	flag("weight-decay", c.SGD.WeightDecay != was.SGD.WeightDecay, c.SGD.WeightDecay)
	flag("log-every", c.LogEvery != was.LogEvery, c.LogEvery)
	flag("checkpoint-every", c.CheckpointEvery != was.CheckpointEvery, c.CheckpointEvery)
	flag("eval-images", c.EvalImages != was.EvalImages, c.EvalImages)
	if c.SGD.Nesterov != was.SGD.Nesterov {
		words = append(words, fmt.Sprintf("--nesterov=%v", c.SGD.Nesterov))
	}
	if !reflect.DeepEqual(c.Schedule, was.Schedule) {
		words = append(words, scheduleFlags(c.Schedule)...)
	}
	was.Epochs, was.Batch, was.Seed, was.Validation, was.Init, was.Teacher = c.Epochs, c.Batch, c.Seed, c.Validation, c.Init, c.Teacher
	was.SGD, was.LogEvery, was.CheckpointEvery, was.EvalImages, was.Schedule = c.SGD, c.LogEvery, c.CheckpointEvery, c.EvalImages, c.Schedule
	before, after := leaves(was), leaves(c)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if after[path] != before[path] {
			words = append(words, "--set", quote(path+"="+after[path]))
		}
	}
	return strings.Join(append(words, "--out", quote(out)), " ")
}

// scheduleFlags are --lr and --schedule where these can say it, else --set.
func scheduleFlags(s optim.Schedule) []string {
	text := s.Kind
	if s.Kind == "step" {
		var epochs []string
		for _, m := range s.Milestones {
			epochs = append(epochs, fmt.Sprint(m))
		}
		text = fmt.Sprintf("step:%v:%s", s.Factor, strings.Join(epochs, ","))
	}
	if same, err := optim.ParseSchedule(text, s.Max); err == nil && reflect.DeepEqual(same, s) {
		return []string{"--lr", fmt.Sprint(s.Max), "--schedule", text}
	}
	whole, _ := json.Marshal(s) // a valid schedule has finite numbers
	return []string{"--set", quote("schedule=" + string(whole))}
}

// leaves are the values of a config by their paths.
func leaves(c cureml.Config) map[string]string {
	text, _ := json.Marshal(c)
	flat := map[string]string{}
	var walk func(path string, raw json.RawMessage)
	walk = func(path string, raw json.RawMessage) {
		if fields := map[string]json.RawMessage{}; bytes.HasPrefix(raw, []byte("{")) && json.Unmarshal(raw, &fields) == nil {
			for k, v := range fields {
				walk(strings.TrimPrefix(path+"."+k, "."), v)
			}
			return
		}
		flat[path] = strings.Trim(string(raw), `"`)
	}
	walk("", text)
	return flat
}

// Changes lists the values in which two configs differ, as "path old -> new". Init and Teacher are left out: the row says
// what they are, and their paths depend on where the benchmark lies.
func Changes(old, now cureml.Config) (changes []string) {
	old.Init, old.Teacher = now.Init, now.Teacher
	before, after := leaves(old), leaves(now)
	for path, v := range after {
		if w, ok := before[path]; !ok {
			changes = append(changes, fmt.Sprintf("%s none -> %s", path, v))
		} else if w != v {
			changes = append(changes, fmt.Sprintf("%s %s -> %s", path, w, v))
		}
	}
	for path, v := range before {
		if _, ok := after[path]; !ok {
			changes = append(changes, fmt.Sprintf("%s %s -> none", path, v))
		}
	}
	slices.Sort(changes)
	return changes
}

// quote makes one word for a shell.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$`{}[]()<>|&;*?!~#") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
