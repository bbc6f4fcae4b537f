package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
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

// fakeWorker takes as many milliseconds a turn as the job has images in a batch, a peer three times that, says so without
// waiting, and needs 100 times as much for the first turn, twice for the third and half for the last.
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
		fmt.Fprintf(turns, "%s%s %d\n", job.Name, job.Peer, step)
		seconds := float64(job.Batch) / 1000
		if job.Peer != "" {
			seconds *= 3
		}
		seconds *= []float64{100, 1, 2, 1, .5}[step]
		if out.Encode(reply{Seconds: seconds, Images: job.Batch, Peak: int64(step)}) != nil {
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

func plan(t *testing.T, names string, widths, batches []int, peers ...string) [][]Job {
	t.Helper()
	jobs, err := Plan(Request{Names: strings.Split(names, ","), Arch: "resnet18", Widths: widths, Batches: batches, Backend: "go", Peers: peers})
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// TestOperations: a step of TRADES with PGD-10 is 27 forward passes ([cureml.Config.MACs]); the fake's second takes 1000 images.
func TestOperations(t *testing.T) {
	r, err := Run(t.Context(), plan(t, "trades-step,batches", []int{2}, []int{4}), Options{Rounds: 3, Worker: start("fake", turnsEnv+"="+t.TempDir()+"/turns")})
	if err != nil {
		t.Fatal(err)
	}
	forward, err := nn.Arch{Name: "resnet18", Width: 2, Classes: 10}.MACs()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Rows[0].TFLOPS, 27*2*float64(forward)*1000/1e12; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("%g operations a second, want %g", got, want)
	}
	if r.Rows[1].TFLOPS != 0 {
		t.Errorf("batches: %g operations a second, want none", r.Rows[1].TFLOPS)
	}
}

// TestTurns: jobs of one width and batch size take turns that rotate, groups follow each other, and neither the first
// nor the second step counts.
func TestTurns(t *testing.T) {
	file := t.TempDir() + "/turns"
	jobs := plan(t, "at-step,cure-step,trades-step", []int{2}, []int{4, 8})
	r, err := Run(t.Context(), jobs, Options{Rounds: 3, Worker: start("fake", turnsEnv+"="+file)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	group := []string{"at-step 0", "cure-step 0", "trades-step 0", "at-step 1", "cure-step 1", "trades-step 1",
		"at-step 2", "cure-step 2", "trades-step 2", "cure-step 3", "trades-step 3", "at-step 3", "trades-step 4", "at-step 4", "cure-step 4"}
	if got := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, append(group, group...)) {
		t.Errorf("turns %v", got)
	}
	if len(r.Rows) != 6 || r.Versions["backend"] != "fake" || !strings.HasSuffix(r.Machine, ", abacus") || strings.Count(r.Machine, "abacus") != 1 {
		t.Fatalf("result %+v", r)
	}
	for i, row := range r.Rows {
		job := jobs[i/3][i%3]
		seconds := float64(job.Batch) / 1000
		want := Row{Name: job.Name, Arch: "resnet18", Width: 2, Batch: job.Batch, Turns: 3, SecondsMedian: seconds,
			SecondsBest: seconds / 2, ImagesPerS: float64(job.Batch) / seconds, CompileSeconds: 100 * seconds, PeakBytes: 4}
		want.TFLOPS = row.TFLOPS // see TestOperations
		if !reflect.DeepEqual(row, want) {
			t.Errorf("row %+v, want %+v", row, want)
		}
	}
}

// TestPeerTurns: a job and its peers take turns, and the ratio is taken round by round.
func TestPeerTurns(t *testing.T) {
	dir := t.TempDir()
	file, python := dir+"/turns", dir+"/python"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\n%s=fake %s=%s exec %s\n", workerEnv, turnsEnv, file, self)
	if err := os.WriteFile(python, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), plan(t, "trades-step,cka", []int{2}, []int{4}, "pytorch", "jax"),
		Options{Rounds: 2, Python: python, Worker: start("fake", turnsEnv+"="+file)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"trades-step 0", "trades-steppytorch 0", "trades-stepjax 0", "trades-step 1", "trades-steppytorch 1", "trades-stepjax 1",
		"trades-step 2", "trades-steppytorch 2", "trades-stepjax 2", "trades-steppytorch 3", "trades-stepjax 3", "trades-step 3",
		"cka 0", "cka 1", "cka 2", "cka 3"}
	if got := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, want) {
		t.Errorf("turns %v", got)
	}
	for i, peer := range []string{"", "pytorch", "jax", ""} {
		if row := r.Rows[i]; row.Peer != peer || (len(row.Speed) > 0) != (i == 0) {
			t.Errorf("row %d: %+v", i, row)
		}
	}
	if s := r.Rows[0].Speed; math.Abs(s["pytorch"]-3) > 1e-9 || math.Abs(s["jax"]-3) > 1e-9 {
		t.Errorf("speed %v, want 3 over both", s)
	}
	if r.Versions["jax"] != "fake" {
		t.Errorf("versions %v", r.Versions)
	}
}

// TestMost: slow groups have one round and no warm-up.
func TestMost(t *testing.T) {
	file := t.TempDir() + "/turns"
	r, err := Run(t.Context(), plan(t, "cka", []int{2}, []int{8}), Options{Rounds: 3, Most: time.Second, Worker: start("fake", turnsEnv+"="+file)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows[0].Turns != 3 { // 0.8 s for the first, then milliseconds
		t.Errorf("rows %+v", r.Rows)
	}
	if r, err = Run(t.Context(), plan(t, "cka", []int{2}, []int{8000}), Options{Rounds: 3, Most: time.Second, Worker: start("fake", turnsEnv+"="+file)}); err != nil {
		t.Fatal(err)
	}
	if r.Rows[0].Turns != 1 || r.Rows[0].SecondsMedian != 8 {
		t.Errorf("rows %+v", r.Rows)
	}
}

// TestWorker runs the real worker of each method and task on the Go backend.
func TestWorker(t *testing.T) {
	names := slices.DeleteFunc(Names(), func(n string) bool { return strings.HasPrefix(n, "autoattack") })
	groups := plan(t, strings.Join(names, ","), []int{2}, []int{4})
	for i := range groups[0] {
		groups[0][i].Attack = 1
	}
	r, err := Run(t.Context(), groups, Options{Rounds: 1, Worker: start("real"), Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != len(names) || !strings.Contains(r.Versions["backend"], "Go") {
		t.Errorf("result %+v", r)
	}
	for _, row := range r.Rows {
		if row.SecondsMedian <= 0 || row.CompileSeconds <= 0 || row.PeakBytes < 1<<20 || row.PeakBytes > 1<<40 {
			t.Errorf("row %+v", row)
		}
	}
}

// testLog shows lines with -v.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) { l.t.Logf("%s", p); return len(p), nil }

// TestPeers runs each peer but compiled on each of its tasks, and the network of the other kind, where its library is
// installed: CURE_PYTHON names an interpreter.
func TestPeers(t *testing.T) {
	python := os.Getenv("CURE_PYTHON")
	if python == "" {
		t.Skip("CURE_PYTHON names no interpreter with PyTorch and JAX")
	}
	have, missing := Installed(t.Context(), python, []string{"pytorch", "official", "jax"})
	if missing != "" {
		t.Fatal(missing)
	}
	shapes, err := Shapes(4, 4, "", have)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range shapes {
		shapes[i] = g[1:]
	}
	if _, err := Run(t.Context(), shapes, Options{Rounds: 1, Python: python}); err != nil {
		t.Error(err)
	}
	runPeers(t, python, have, "resnet18", "wrn-10-2")
}

// runPeers takes a turn of every task with peers, on small networks.
func runPeers(t *testing.T, python string, peers []string, archs ...string) {
	t.Helper()
	for _, arch := range archs {
		groups, err := Plan(Request{Names: slices.Concat(peerSteps, peerOthers), Arch: arch, Widths: []int{4}, Batches: []int{4}, Peers: peers})
		if err != nil {
			t.Fatal(err)
		}
		for i := range groups {
			groups[i] = groups[i][1:]
		}
		if _, err := Run(t.Context(), groups, Options{Rounds: 1, Python: python}); err != nil {
			t.Error(err)
		}
	}
}

func TestInstalled(t *testing.T) {
	python := t.TempDir() + "/python"
	if err := os.WriteFile(python, []byte("#!/bin/sh\necho '[\"jax\"]'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if have, missing := Installed(t.Context(), python, Peers()); !slices.Equal(have, []string{"jax"}) || missing != python+" has no torch" {
		t.Errorf("have %v, missing %q", have, missing)
	}
	if have, missing := Installed(t.Context(), python+"3", Peers()); len(have) > 0 || !strings.Contains(missing, "python3") {
		t.Errorf("have %v, missing %q", have, missing)
	}
}

func TestWorkerFails(t *testing.T) {
	one := plan(t, "natural-step", []int{2}, []int{2})
	unknown := [][]Job{slices.Clone(one[0])}
	unknown[0][0].Backend = "abacus"
	for _, c := range []struct {
		name, kind string
		jobs       [][]Job
		want       string
	}{
		{"dies", "dies", one, "natural-step resnet18 width 2 batch 2: its process ended: exit status 3 (out of luck)"},
		{"reports", "real", unknown, `unknown backend "abacus"`},
	} {
		_, err := Run(t.Context(), c.jobs, Options{Rounds: 1, Worker: start(c.kind)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, one, Options{Rounds: 1, Worker: start("hangs")}); !errors.Is(err, context.DeadlineExceeded) {
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
	for _, method := range cureml.MethodNames() {
		b.Run(method, func(b *testing.B) {
			job := Job{Name: method + stepSuffix, Arch: "resnet18", Width: 16, Batch: 64}
			cfg, err := job.config()
			if err != nil {
				b.Fatal(err)
			}
			s, err := cureml.NewStepper(mltest.Backend(b), cfg, noise(4*job.Batch))
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
