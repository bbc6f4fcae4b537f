// Command cure trains, attacks and inspects robust image classifiers from the command line.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage (nothing was written). `cure help COMMAND` has an example for each
// command that runs as printed. Results go to standard output, progress and messages to standard error, an error as one
// line. With CURE_DEBUG=1 an internal error shows where it happened.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns the exit code.
func run(args []string) (code int) {
	// gomlx logs through klog, which writes to standard error unless told otherwise. What matters there comes back as an
	// error too.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	out := &sticky{w: os.Stdout}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(os.Stderr)
	err := execute(ctx, root)
	if err == nil && out.err != nil {
		err = fmt.Errorf("standard output: %w", out.err)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "cure:", oneLine(err))
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// execute turns a panic, which only a defect can cause, into an error.
func execute(ctx context.Context, root *cobra.Command) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if os.Getenv("CURE_DEBUG") != "" {
				os.Stderr.Write(debug.Stack())
			}
			err = fmt.Errorf("internal error, CURE_DEBUG=1 shows where: %v", p)
		}
	}()
	return root.ExecuteContext(ctx)
}

// newRoot is the command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "cure",
		Short:         "Adversarial-robustness research in Go: train, attack and dissect image classifiers",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, c := range root.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		return usage("unknown command %q: accepted are %s", args[0], strings.Join(names, ", "))
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(newHelp(root))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w ('%s --help' lists the flags)", err, cmd.CommandPath())
	})
	root.AddCommand(newSetup(), newDoctor(), newData(), newTrain(), newEval(), newAttack(), newExport(), newBench(), newBenchWorker(), newBenchmark(), newSweep(), newRecipe(), newAnalyze())
	return root
}

// newHelp is cobra's help command, except that an unknown topic is an error.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		Example: `  cure help eval`,
		RunE: func(_ *cobra.Command, args []string) error {
			target, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage("no help for %q: 'cure help' lists the commands", strings.Join(args, " "))
			}
			return target.Help()
		},
	}
}

// wrap breaks a text into lines of at most 110 bytes, where its words allow.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > 110:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// usageError marks what the user typed wrong: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// noArgs refuses arguments that are not flags.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("unexpected argument %q: this command takes flags only", args[0])
	}
	return nil
}

// oneArg wants exactly one argument, called what.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("%d arguments: want one, %s", len(args), what)
		}
		return nil
	}
}

// oneLine keeps what a person needs of an error; stacks and wrapped repetitions stay out.
func oneLine(err error) string {
	first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return first
}

// sticky remembers the first error of w, such as a full disk behind a redirected standard output.
type sticky struct {
	w   io.Writer
	err error
}

func (s *sticky) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if s.err == nil {
		s.err = err
	}
	return n, err
}
