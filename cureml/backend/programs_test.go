package backend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/backend/compiled"
)

func TestProgramFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/caches")
	for text, want := range map[string]string{"": "", "off": "", "No": "", "0": "", "on": "/caches/cure/programs", "TRUE": "/caches/cure/programs", "/mine/": "/mine"} {
		t.Setenv(cacheEnv, text)
		if got, err := programFolder(); err != nil || got != want {
			t.Errorf("%s=%s: %q, error %v, want %q", cacheEnv, text, got, err, want)
		}
		if got := flagsFor(Plugin{Platform: CPU}); (got == nil) != (want != "") {
			t.Errorf("%s=%s: flags %q", cacheEnv, text, got)
		}
	}
	t.Setenv(cacheEnv, "here")
	if _, err := programFolder(); err == nil || !strings.Contains(err.Error(), "CURE_CACHE=here: accepted are on, off and an absolute folder") {
		t.Errorf("error %v", err)
	}
	var text strings.Builder
	if Doctor(&text) || !strings.Contains(text.String(), "CURE_CACHE=here") {
		t.Errorf("doctor is content with CURE_CACHE=here:\n%s", text.String())
	}
}

func TestOneDNNOn(t *testing.T) {
	for flags, want := range map[string]bool{"": false, "--a=1 " + oneDNNFlag: true, "--xla_cpu_experimental_onednn_custom_call": true,
		oneDNNFlag + " --xla_cpu_experimental_onednn_custom_call=false": false} {
		if got := oneDNNOn(flags); got != want {
			t.Errorf("%q: %v", flags, got)
		}
	}
}

// keptRun is what a child process of TestPrograms says.
type keptRun struct {
	Loaded, Made int64
	Bits         []byte // of what its programs computed
}

// TestPrograms runs the same programs in two processes: the second loads them, and computes the same bits; so does a third
// one that finds a damaged file, and one under other flags makes its own. A program with a donated input is among them.
func TestPrograms(t *testing.T) {
	const childEnv = "CURE_TEST_PROGRAMS"
	if os.Getenv(childEnv) != "" {
		programsChild(t)
		return
	}
	plugin, err := Find()
	if err != nil || plugin.Platform != CPU {
		t.Skip("no plugin for CPUs")
	}
	dir := t.TempDir()
	child := func(flags string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestPrograms$")
		cmd.Env = append(os.Environ(), childEnv+"=1", cacheEnv+"="+dir, nameEnv+"=xla:cpu", "XLA_FLAGS="+flags)
		return cmd
	}
	run := func(flags string) (r keptRun) {
		t.Helper()
		cmd := child(flags)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		line, _, _ := bytes.Cut(out, []byte("\n"))
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return r
	}
	first := run("")
	if first.Loaded != 0 || first.Made == 0 {
		t.Fatalf("the first process: %d loaded, %d made", first.Loaded, first.Made)
	}
	second := run("")
	if second.Loaded != first.Made || second.Made != 0 || !bytes.Equal(second.Bits, first.Bits) {
		t.Errorf("the second process: %d of %d loaded, %d made, same bits %v", second.Loaded, first.Made, second.Made, bytes.Equal(second.Bits, first.Bits))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || int64(len(files)) != first.Made {
		t.Fatalf("files %v, error %v", files, err)
	}
	if err := os.Truncate(files[0], 100); err != nil {
		t.Fatal(err)
	}
	third := run("")
	if third.Loaded != first.Made-1 || third.Made != 1 || !bytes.Equal(third.Bits, first.Bits) {
		t.Errorf("with a damaged file: %d loaded, %d made", third.Loaded, third.Made)
	}
	if other := run("--xla_cpu_enable_fast_math=false"); other.Loaded != 0 || other.Made != first.Made {
		t.Errorf("under other flags: %d loaded, %d made", other.Loaded, other.Made)
	}
	if out, err := child(oneDNNFlag).CombinedOutput(); err == nil || !strings.Contains(string(out), "programs with oneDNN calls cannot be kept") {
		t.Errorf("with oneDNN's flag: %v\n%s", err, out)
	}
}

// programsChild computes with a convolution and its gradient, and with a donated input.
func programsChild(t *testing.T) {
	b, err := Open(Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, 4*8*8*16)
	for i := range values {
		values[i] = float32(i%13) / 13
	}
	kernel := make([]float32, 3*3*16*16)
	for i := range kernel {
		kernel[i] = float32(i%7)/7 - .5
	}
	x, k := tensors.FromFlatDataAndDimensions(values, 4, 8, 8, 16), tensors.FromFlatDataAndDimensions(kernel, 3, 3, 16, 16)
	slope := MustNewExec(b, func(x, k *Node) *Node {
		return Gradient(ReduceAllSum(Square(Convolve(x, k).PadSame().Done())), k)[0]
	})
	grad := slope.MustExec(x, k)[0]
	step := MustNewExec(b, func(k, grad *Node) *Node { return Sub(k, MulScalar(grad, .01)) })
	buffer, err := DonateTensorBuffer(k, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	moved := step.MustExec(buffer, grad)[0]
	var r keptRun
	r.Loaded, r.Made = compiled.Counts()
	for _, v := range slices.Concat(tensors.MustCopyFlatData[float32](grad), tensors.MustCopyFlatData[float32](moved)) {
		r.Bits = fmt.Append(r.Bits, v, " ")
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(text))
}
