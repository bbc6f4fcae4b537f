package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Variables in which engines say which task of an array a process is.
var indexVariables = []string{"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"}

func newSweepTask() *cobra.Command {
	var out, backend, moved string
	var index int
	cmd := &cobra.Command{
		Use:   "task",
		Short: "Do one task of a sweep, or go on with it",
		Long: `Do one task of a sweep, or go on with it. Its index comes from --index or from ` + strings.Join(indexVariables, " or ") + `. A
task that is done ends at once. One that another process is at work on waits for that, and so does one that needs a network
which is being trained; where that process dies, this one takes over. An evaluation whose network nobody trains trains it.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep task --index 0 --out sweep`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&out, "out", "", "folder of the sweep")
	fs.IntVar(&index, "index", -1, "number of the task")
	fs.StringVar(&moved, "moved", "", "FROM=TO: data sets that lay below FROM when the sweep was planned lie below TO here")
	fs.StringVar(&backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if from, to, ok := strings.Cut(moved, "="); moved != "" && !(ok && filepath.IsAbs(from) && filepath.IsAbs(to)) {
			return usage("--moved %q: want FROM=TO, two absolute paths", moved)
		}
		s, err := openSweep(out, backend, moved, os.Stderr)
		if err != nil {
			return err
		}
		if !fs.Changed("index") {
			if index, err = indexFromEnv(); err != nil {
				return err
			}
		}
		t, err := s.Task(index)
		if err != nil {
			return asUsage(err)
		}
		show := newProgress(os.Stderr)
		s.Progress = show.attack
		err = s.Do(cmd.Context(), t)
		show.end()
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: done\n", t.Name)
		}
		return err
	}
	return cmd
}

func indexFromEnv() (int, error) {
	for _, name := range indexVariables {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, usage("%s %q: want the number of a task", name, text)
		}
		return n, nil
	}
	return 0, usage("--index is missing, and so are %s: which task?", strings.Join(indexVariables, " and "))
}
