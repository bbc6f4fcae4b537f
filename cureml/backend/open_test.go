package backend

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/go-xla/compute/xla"
)

func TestOpenGo(t *testing.T) {
	b, err := Open(Options{Name: "go"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() == xla.BackendName {
		t.Errorf("got backend %q", b.Name())
	}
	if err := checkConvolution(b); err != nil {
		t.Error(err)
	}
}

// Without a plugin the Go backend is opened and says so once; asking for XLA by name is an error then.
func TestOpenWithoutPlugin(t *testing.T) {
	isolate(t)
	if len(candidates()) > 0 {
		t.Skip("this machine has a plugin for all users")
	}
	warnOnce = sync.Once{}
	var log bytes.Buffer
	for range 2 {
		b, err := Open(Options{Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		if b.Name() == xla.BackendName {
			t.Errorf("got backend %q, want the Go one", b.Name())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "slower") {
		t.Errorf("warnings: %q, want one line", log.String())
	}
	for _, name := range []string{"xla", "cuda", "xla:cpu"} {
		if _, err := Open(Options{Name: name, Log: &log}); !errors.Is(err, ErrNoPlugin) {
			t.Errorf("%s: got %v, want ErrNoPlugin", name, err)
		}
	}
}

func TestOpenXLA(t *testing.T) {
	p := installedPlugin(t)
	b, err := Open(Options{Name: "xla:" + p.Path})
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != xla.BackendName {
		t.Errorf("got backend %q", b.Name())
	}
	if err := checkConvolution(b); err != nil {
		t.Error(err)
	}
	if flags := os.Getenv("XLA_FLAGS"); !tuningOff() && len(p.Flags) > 0 && !mentions(flags, oneDNNFlag) {
		t.Errorf("XLA_FLAGS=%q lacks %s", flags, oneDNNFlag)
	}
}

// go-xla reads "cuda" and "nvidia" anywhere in the path as a CUDA plugin; ours must not be fooled.
func TestMisleadingPath(t *testing.T) {
	p := installedPlugin(t)
	dir := filepath.Join(t.TempDir(), "nvidia-cuda")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	if err := os.Symlink(p.Path, link); err != nil {
		t.Fatal(err)
	}
	b, err := Open(Options{Name: "xla:" + link})
	if err != nil {
		t.Fatal(err)
	}
	if x := b.(*xla.Backend); x.IsCUDA() || !x.HasSharedBuffers() {
		t.Errorf("taken for CUDA: %v, shared buffers %v", x.IsCUDA(), x.HasSharedBuffers())
	}
	if err := checkConvolution(b); err != nil {
		t.Error(err)
	}
}

// A flag that this XLA does not know ends a child, not us; the plugin is then used without it.
func TestUnknownFlag(t *testing.T) {
	p := installedPlugin(t)
	const unknown = "--xla_there_is_no_such_flag=true"
	err := runChild(context.Background(), "probe", p.Path, []string{"XLA_FLAGS=" + unknown}, func([]byte) {})
	checkSentence(t, err, "there_is_no_such_flag")
	const known = "--xla_cpu_enable_fast_math=false"
	for _, flags := range [][]string{{unknown}, {known, unknown}} {
		result, err := try(p, flags)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(result.Flags, flags[:len(flags)-1]) || result.API == "" || len(result.Devices) == 0 {
			t.Errorf("%q: got %+v, want a result without the unknown flag", flags, result)
		}
	}
}

func TestParseName(t *testing.T) {
	t.Setenv(nameEnv, "")
	here, _ := os.Getwd()
	cases := []struct {
		name string
		want choice
		err  string
	}{
		{"", choice{}, ""},
		{"go", choice{pureGo: true}, ""},
		{"xla", choice{explicit: true}, ""},
		{"xla:cpu", choice{explicit: true, platform: CPU}, ""},
		{"cuda", choice{explicit: true, platform: CUDA}, ""},
		{"xla:cuda,tf32=true", choice{explicit: true, platform: CUDA, options: "tf32=true"}, ""},
		{"xla:/a/b.so,preallocate", choice{explicit: true, path: "/a/b.so", options: "preallocate"}, ""},
		{"xla:./b.so", choice{explicit: true, path: filepath.Join(here, "b.so")}, ""},
		{"tpu", choice{}, `unknown backend "tpu"`},
		{"xla:b.so", choice{}, `unknown plugin "b.so"`},
	}
	for _, c := range cases {
		got, err := parseName(c.name)
		got.source = ""
		if c.err != "" {
			checkSentence(t, err, c.err)
		} else if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	t.Setenv(nameEnv, "go")
	if got, err := parseName(""); err != nil || !got.pureGo {
		t.Errorf("%s=go: got %+v, %v", nameEnv, got, err)
	}
}

func TestCheckName(t *testing.T) {
	there := filepath.Join(t.TempDir(), "plugin.so")
	if err := os.WriteFile(there, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"go": true, "cuda": true, "xla:cpu": true, "xla:" + there: true, "abacus": false, "xla:/none.so": false, "xla:gpu9": false} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		flags, flag string
		want        bool
	}{
		{"", "--a=1", false},
		{"--a=0", "--a=1", true},
		{"--b --a", "--a=1", true},
		{"--ab=1", "--a=1", false},
	} {
		if got := mentions(c.flags, c.flag); got != c.want {
			t.Errorf("mentions(%q, %q) = %v", c.flags, c.flag, got)
		}
	}
	if got := joinFlags([]string{"--a=1", "--b=2"}, "--a=0"); got != "--a=1 --b=2 --a=0" {
		t.Errorf("joined %q: the user's flags must come last", got)
	}
	if got := joinFlags(nil, ""); got != "" {
		t.Errorf("joined %q", got)
	}
	t.Setenv(tuneEnv, "off")
	if got := flagsFor(Plugin{Platform: CPU}); got != nil {
		t.Errorf("%s=off gives flags %q", tuneEnv, got)
	}
}

// The plugin's own two search places for NVIDIA's libraries, and nothing else, lead to a flag.
func TestCUDADataFlag(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"near/nvidia/cu13", "site/nvidia/cu13"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"near/plugin/p.so":            "near/nvidia/cu13",
		"site/jax_plugins/xla/p.so":   "site/nvidia/cu13",
		"nowhere/jax_plugins/xla/p.s": "",
	} {
		if want != "" {
			want = "--xla_gpu_cuda_data_dir=" + filepath.Join(dir, want)
		}
		if got := cudaDataFlag(filepath.Join(dir, path)); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestRootAndCandidates(t *testing.T) {
	root := isolate(t)
	deep := filepath.Join(root, "a", "b")
	own := filepath.Join(root, stateFolder, "pjrt")
	named := t.TempDir()
	for _, dir := range []string{deep, own} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cpu, cuda := filepath.Join(own, "pjrt_c_api_cpu_plugin.so"), filepath.Join(named, "xla_cuda_plugin.so")
	single := filepath.Join(named, "anything.so")
	for _, file := range []string{cpu, cuda, single, filepath.Join(own, "libother.so")} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(deep)
	if got, ok := Root(); !ok || got != root {
		t.Errorf("root %q, %v, want %q", got, ok, root)
	}
	t.Setenv(searchEnv, named+":"+single)
	var got []string
	for _, p := range candidates() {
		got = append(got, string(p.Platform)+" "+p.Path)
	}
	want := []string{"cuda " + cuda, "cpu " + single, "cpu " + cpu}
	if len(got) < 3 || !slices.Equal(got[:3], want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
