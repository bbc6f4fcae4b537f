package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cure/cureml/nn"
)

// The test binary is the program itself when commandEnv is set, so that exit codes, streams and workers are real.
// limitEnv limits the size of the files it writes, in bytes: to the program that is a full disk.
const (
	commandEnv = "CURE_TEST_COMMAND"
	limitEnv   = "CURE_TEST_FILE_LIMIT"
)

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) == "" {
		os.Exit(m.Run())
	}
	if limit, err := strconv.ParseUint(os.Getenv(limitEnv), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			panic(err)
		}
	}
	os.Exit(run(os.Args[1:]))
}

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// command prepares the program with GOMLX_BACKEND=go in the folder dir.
func command(dir string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), commandEnv+"=1", "GOMLX_BACKEND=go")
	return cmd
}

func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// cure runs a command that must succeed.
func cure(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	o := finish(t, command(dir, args...))
	if o.code != 0 {
		t.Fatalf("cure %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o
}

// wantFailure checks code and message: one line that contains want, and nothing else in either stream.
func wantFailure(t *testing.T, o outcome, code int, want string) {
	t.Helper()
	line, rest, _ := strings.Cut(o.stderr, "\n")
	if o.code != code || !strings.HasPrefix(line, "cure: ") || rest != "" || !strings.Contains(line, want) || o.stdout != "" {
		t.Errorf("exit code %d, standard output %q, standard error:\n%s\nwant code %d and one line with %q", o.code, o.stdout, o.stderr, code, want)
	}
}

// files lists everything below dir.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		list = append(list, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// writeImages writes n records of CIFAR-10's format, noise with labels in turn.
func writeImages(t *testing.T, path string, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range n {
		b.WriteByte(byte(i % 10))
		for range 3072 {
			b.WriteByte(byte(rng.Uint32()))
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// network is a resnet18 of width 2 with random weights.
func network(t *testing.T, classes int) *nn.State {
	t.Helper()
	a, err := nn.Parse("resnet18", 2, classes)
	if err != nil {
		t.Fatal(err)
	}
	s, err := nn.Init(a, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func save(t *testing.T, s *nn.State, path string) {
	t.Helper()
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
}

// workplace is a folder with w.safetensors, a resnet18 of width 2, and images.bin, 16 records.
func workplace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeImages(t, filepath.Join(dir, "images.bin"), 16)
	save(t, network(t, 10), filepath.Join(dir, "w.safetensors"))
	return dir
}
