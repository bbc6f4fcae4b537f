package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml/analysis"
	"cure/cureml/study"
)

// studyCommand describes a subcommand of cure analyze that trains the networks it looks at.
type studyCommand struct {
	name, short, long, example string
	flags                      func(fs *pflag.FlagSet)
	// open makes the study; what it finds wrong was typed wrong.
	open func(s *study.Study) (trainedStudy, error)
}

// trainedStudy is a study of several trainings.
type trainedStudy struct {
	runs   []string // names, for messages
	done   func(run int) (bool, error)
	train  func(run int, each func(study.Line)) (study.Metrics, error)
	result func() (analysis.Result, error)
	keep   func(dir string) error
}

// studies are the subcommands that train, in the order of their notebooks.
func studies() []studyCommand { return []studyCommand{layerwiseCommand(), overfittingCommand()} }

func (c studyCommand) command() *cobra.Command {
	var preset, out, saved, keep, name string
	cmd := &cobra.Command{Use: c.name, Short: c.short, Example: c.example, Args: noArgs, Long: c.long + `

It trains. The folder --out gets a run folder for each network, and at the end ` + c.name + `.json and the pictures. Stopped or
killed at any moment, the same command goes on; what is trained and measured already is not repeated. --keep copies the
measurements, without weights, to a folder that version control can hold, and --saved reads such a folder instead of
training: with notebooks/saved/PRESET/` + c.name + `, where it is there, tables and pictures take seconds.

Presets: ci (to see that it runs), mini (two cores, the images inside the program), paper (a GPU).`}
	fs := cmd.Flags()
	fs.StringVar(&preset, "preset", "mini", "size: ci, mini or paper")
	fs.StringVar(&out, "out", "", "folder of the runs and the results")
	fs.StringVar(&saved, "saved", "", "folder with saved measurements, read where --out has no such run")
	fs.StringVar(&keep, "keep", "", "folder to copy the measurements to")
	fs.StringVar(&name, "backend", "", backendHelp)
	c.flags(fs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := study.FindPreset(preset)
		if err != nil {
			return usage("--preset: %w", err)
		}
		if out == "" {
			return usage("--out is missing: the folder of the runs and the results")
		}
		if err := checkResults("out", out); err != nil {
			return err
		}
		if err := checkResults("keep", keep); err != nil {
			return err
		}
		if saved != "" {
			if err := exists("--saved", saved); err != nil {
				return err
			}
		}
		if name == "" && p.Name == "ci" {
			name = "go" // compiling takes longer than all of its steps
		}
		s := &study.Study{Preset: p, Dir: filepath.Clean(out), Saved: saved}
		s.OpenDevice = func() (compute.Backend, error) { return openBackend(name) }
		t, err := c.open(s)
		if err != nil {
			return usageError{err}
		}
		if err := t.trainAll(cmd.ErrOrStderr()); err != nil {
			return err
		}
		r, err := t.result()
		if err != nil {
			return err
		}
		if keep != "" {
			if err := t.keep(keep); err != nil {
				return err
			}
		}
		return writeResult(cmd.OutOrStdout(), out, c.name, r)
	}
	return cmd
}

// trainAll trains what is not trained yet, with a line of progress for every line of metrics.
func (t trainedStudy) trainAll(w io.Writer) error {
	for i, name := range t.runs {
		done, err := t.done(i)
		if err != nil {
			return err
		}
		if done {
			continue
		}
		each := func(l study.Line) {
			text := fmt.Sprintf("%s (%d of %d), epoch %.2f:", name, i+1, len(t.runs), l.Values["epoch"])
			for _, v := range []string{"loss", "train_adv_accuracy", "train_robust", "test_clean", "test_robust"} {
				if x, ok := l.Values[v]; ok {
					text += fmt.Sprintf(" %s %.3f", v, x)
				}
			}
			fmt.Fprintln(w, text)
		}
		if _, err := t.train(i, each); err != nil {
			return err
		}
	}
	return nil
}
