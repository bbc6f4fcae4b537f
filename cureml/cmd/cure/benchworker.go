package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"cure/cureml/bench"
)

// worker is this program once more.
func worker(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, itself(), benchWorker) }

// itself is the path of this program.
func itself() string {
	self := "/proc/self/exe" // still the same program when the file was replaced meanwhile
	if runtime.GOOS != "linux" {
		if path, err := os.Executable(); err == nil {
			self = path
		}
	}
	return self
}

func newBenchWorker() *cobra.Command {
	return &cobra.Command{Use: benchWorker, Hidden: true, Args: noArgs, RunE: func(*cobra.Command, []string) error {
		replies := os.NewFile(3, "replies")
		if info, err := replies.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			return usage("this command is for 'cure bench' to start")
		}
		return bench.Work(os.Stdin, replies)
	}}
}
