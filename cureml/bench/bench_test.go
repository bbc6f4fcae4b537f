package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"cure/cureml"
	"cure/cureml/mltest"
)

// The test binary is a worker when workerEnv is set: the real one, or one that fails in some way.
const (
	workerEnv = "BENCH_TEST_WORKER"
	turnsEnv  = "BENCH_TEST_TURNS" // the file in which a fake worker notes its turns
)

func TestMain(m *testing.M) {
	kind := os.Getenv(workerEnv)
	if kind == "" {
		os.Exit(m.Run())
	}
	replies := os.NewFile(3, "replies")
	switch kind {
	case "real":
		if Work(os.Stdin, replies) != nil {
			os.Exit(1)
		}
	case "fake":
		fakeWorker(replies)
	case "dies":
		fmt.Fprintln(os.Stderr, "out of luck")
		os.Exit(3)
	case "hangs":
		time.Sleep(time.Hour)
	}
}

// fakeWorker takes as many milliseconds a step as the job has images in a batch, says so without waiting, and needs 100
// times that for the first step, twice for the third and half for the last.
func fakeWorker(replies io.Writer) {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(replies)
	var job Job
	if in.Decode(&job) != nil || out.Encode(reply{Backend: "fake", Devices: "abacus"}) != nil {
		os.Exit(1)
	}
	turns, err := os.OpenFile(os.Getenv(turnsEnv), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		os.Exit(1)
	}
	for step := 0; ; step++ {
		var turn struct{}
		if in.Decode(&turn) != nil {
			return
		}
		fmt.Fprintf(turns, "%s %d\n", job.Name, step)
		seconds := float64(job.Batch) / 1000
		seconds *= []float64{100, 1, 2, 1, .5}[step]
		if out.Encode(reply{Seconds: seconds, Peak: int64(step)}) != nil {
			os.Exit(1)
		}
	}
}

func start(kind string, env ...string) func(context.Context) *exec.Cmd {
	return func(ctx context.Context) *exec.Cmd {
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(append(os.Environ(), workerEnv+"="+kind), env...)
		return cmd
	}
}

func plan(t *testing.T, names string, widths, batches []int) []Job {
	t.Helper()
	jobs, err := Plan(strings.Split(names, ","), "resnet18", widths, batches, "go")
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func TestPlan(t *testing.T) {
	jobs := plan(t, "cure-step,natural-step", []int{2, 0}, []int{4, 8})
	var got []string
	for _, j := range jobs {
		got = append(got, fmt.Sprintf("%s %d %d", j.Name, j.Width, j.Batch))
	}
	want := []string{"cure-step 2 4", "natural-step 2 4", "cure-step 2 8", "natural-step 2 8",
		"cure-step 64 4", "natural-step 64 4", "cure-step 64 8", "natural-step 64 8"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, c := range []struct {
		name, arch   string
		width, batch int
		want         string
	}{
		{"fast-step", "resnet18", 2, 4, `unknown step "fast-step": accepted are ` + strings.Join(Names(), ", ")},
		{"natural-step", "vgg", 2, 4, `unknown arch "vgg"`},
		{"natural-step", "resnet18", -2, 4, "width -2"},
		{"natural-step", "resnet18", 2, 0, "batch 0"},
		{"natural-step", "resnet18", 2, 1 << 20, "batch 1048576"},
	} {
		if _, err := Plan([]string{c.name}, c.arch, []int{c.width}, []int{c.batch}, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	if _, err := Plan(nil, "resnet18", []int{2}, []int{4}, ""); err == nil {
		t.Error("no names: no error")
	}
	if _, err := Plan([]string{"at-step"}, "resnet18", []int{64, 0}, []int{4}, ""); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the published width twice: error %v", err)
	}
}

// TestTurns: jobs of one width and batch size take turns that rotate, groups follow each other, and neither the first
// nor the second step counts.
func TestTurns(t *testing.T) {
	file := t.TempDir() + "/turns"
	jobs := plan(t, "at-step,cure-step,trades-step", []int{2}, []int{4, 8})
	r, err := Run(t.Context(), jobs, Options{Steps: 3, Worker: start("fake", turnsEnv+"="+file)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	group := []string{"at-step 0", "at-step 1", "cure-step 0", "cure-step 1", "trades-step 0", "trades-step 1",
		"at-step 2", "cure-step 2", "trades-step 2", "cure-step 3", "trades-step 3", "at-step 3", "trades-step 4", "at-step 4", "cure-step 4"}
	if got := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, append(group, group...)) {
		t.Errorf("turns %v", got)
	}
	if len(r.Rows) != len(jobs) || r.Versions["backend"] != "fake" || !strings.HasSuffix(r.Machine, ", abacus") || strings.Count(r.Machine, "abacus") != 1 {
		t.Fatalf("result %+v", r)
	}
	for i, row := range r.Rows {
		seconds := float64(jobs[i].Batch) / 1000
		want := Row{Name: jobs[i].Name, Arch: "resnet18", Width: 2, Batch: jobs[i].Batch, SecondsMedian: seconds,
			SecondsBest: seconds / 2, ImagesPerS: float64(jobs[i].Batch) / seconds, CompileSeconds: 100 * seconds, PeakBytes: 4}
		if row != want {
			t.Errorf("row %+v, want %+v", row, want)
		}
	}
}

// TestWorker runs the real worker of each method on the Go backend.
func TestWorker(t *testing.T) {
	r, err := Run(t.Context(), plan(t, strings.Join(Names(), ","), []int{2}, []int{2}), Options{Steps: 1, Worker: start("real")})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != len(Names()) || !strings.Contains(r.Versions["backend"], "Go") {
		t.Errorf("result %+v", r)
	}
	for _, row := range r.Rows {
		if row.SecondsMedian <= 0 || row.CompileSeconds <= 0 || row.PeakBytes < 1<<20 || row.PeakBytes > 1<<40 {
			t.Errorf("row %+v", row)
		}
	}
}

func TestWorkerFails(t *testing.T) {
	one := plan(t, "natural-step", []int{2}, []int{2})
	unknown := slices.Clone(one)
	unknown[0].Backend = "abacus"
	for _, c := range []struct {
		name, kind string
		jobs       []Job
		want       string
	}{
		{"dies", "dies", one, "natural-step resnet18 width 2 batch 2: its process ended: exit status 3 (out of luck)"},
		{"reports", "real", unknown, `unknown backend "abacus"`},
	} {
		_, err := Run(t.Context(), c.jobs, Options{Steps: 1, Worker: start(c.kind)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, one, Options{Steps: 1, Worker: start("hangs")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging worker: error %v", err)
	}
	if _, err := Run(t.Context(), one, Options{Worker: start("real")}); err == nil {
		t.Error("no steps: no error")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{5, 1}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 100, 2}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestProc(t *testing.T) {
	if got := parsePeak("Name:\tx\nVmHWM:\t    123 kB\nVmRSS:\t 1 kB\n"); got != 123<<10 {
		t.Errorf("peak %d", got)
	}
	for _, bad := range []string{"", "Name:\tx\n", "\nVmHWM: x kB\n", "\nVmHWM: 12\n"} {
		if got := parsePeak(bad); got != 0 {
			t.Errorf("peak %d of %q", got, bad)
		}
	}
	if got := field("a\t: 1\nmodel name\t: Abacus 3\nmodel name\t: other\n", "model name"); got != "Abacus 3" {
		t.Errorf("field %q", got)
	}
}

// BenchmarkStep times the step of each method on resnet18 of width 16 with 64 images, compilation excluded.
func BenchmarkStep(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			job := Job{Name: name, Arch: "resnet18", Width: 16, Batch: 64}
			cfg, err := job.config()
			if err != nil {
				b.Fatal(err)
			}
			s, err := cureml.NewStepper(mltest.Backend(b), cfg, images(4*job.Batch))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Free()
			if _, err := s.Step(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Step(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(job.Batch*b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
