package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend" // the backend "go"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"cure/cureml/mesh"
)

// nameEnv is gomlx's variable for the backend.
const nameEnv = "GOMLX_BACKEND"

// Options says which backend [Open] opens. The zero value is right for most programs.
type Options struct {
	// Name is "" (XLA when a plugin is there, else Go), "xla", "xla:cpu", "xla:cuda" or "cuda", "xla:/path/plugin.so",
	// or "go". Options of go-xla may follow the plugin: "xla:cuda,tf32=true". When empty, GOMLX_BACKEND is read.
	Name string
	// Install runs [Setup] when no plugin is found.
	Install bool
	// Deterministic makes XLA on a GPU choose algorithms that give the same bits every time. CPUs always do.
	Deterministic bool
	// Devices is how many devices of the plugin compute together ([mesh.Over]); 0 and 1 are one. A CPU plugin makes as
	// many as are asked for out of the same cores.
	Devices int
	// Log gets warnings and the progress of an installation; nil means standard error.
	Log io.Writer
}

var (
	openMutex sync.Mutex
	warnOnce  sync.Once
)

// Open returns the backend that opt names: by default XLA through the plugin that [Find] finds, or the pure Go backend,
// with a warning written once, when there is no plugin. A plugin that is there but cannot be used is an error, as is a
// missing one when the name asks for XLA.
//
// XLA reads its flags once: all backends of a process share those of the first.
func Open(opt Options) (compute.Backend, error) {
	openMutex.Lock()
	defer openMutex.Unlock()
	if opt.Log == nil {
		opt.Log = os.Stderr
	}
	choice, err := parseName(opt.Name)
	if err != nil {
		return nil, err
	}
	if opt.Devices < 0 {
		return nil, fmt.Errorf("backend: devices %d: want 1 or more", opt.Devices)
	}
	if choice.pureGo {
		return openGo(choice.options, opt.Devices)
	}

	plugin, err := choice.find()
	if errors.Is(err, ErrNoPlugin) && opt.Install {
		plugin, err = Setup(context.Background(), SetupOptions{Platform: choice.platform, Log: opt.Log})
	}
	if errors.Is(err, ErrNoPlugin) {
		if choice.explicit {
			return nil, fmt.Errorf("%w: run 'make setup' or 'cure setup', or name one in %s", err, searchEnv)
		}
		warnOnce.Do(func() {
			fmt.Fprintln(opt.Log, "cure: no PJRT plugin for XLA found, computing with the pure Go backend, which is about 100 times"+
				" slower; 'make setup' or 'cure setup' installs one")
		})
		return openGo("", opt.Devices)
	}
	if err != nil {
		return nil, err
	}
	return openXLA(plugin, choice.options, opt)
}

// CheckName is an error for a name that [Open] does not know, or that names a file which is not there. It opens nothing.
func CheckName(name string) error {
	c, err := parseName(name)
	if err != nil || c.path == "" {
		return err
	}
	if _, err := os.Stat(c.path); err != nil {
		return fmt.Errorf("backend: %q: %w", name, err)
	}
	return nil
}

// choice is a backend's name taken apart.
type choice struct {
	pureGo   bool
	explicit bool     // the user asked for XLA
	platform Platform // empty: whichever is best
	path     string   // of a plugin given by name
	source   string   // what gave the path
	options  string   // of go-xla, comma separated
}

func parseName(name string) (choice, error) {
	source := "option"
	if name == "" {
		name, source = os.Getenv(nameEnv), nameEnv
	}
	if name == "" {
		return choice{}, nil
	}
	kind, rest, _ := strings.Cut(name, ":")
	if kind == "go" {
		return choice{pureGo: true, options: rest}, nil
	}
	plugin, options, _ := strings.Cut(rest, ",")
	c := choice{explicit: true, source: source, options: options}
	switch {
	case (kind == "cuda" || kind == "gpu") && rest == "":
		c.platform = CUDA
	case kind == "cpu" && rest == "":
		c.platform = CPU
	case kind != "xla":
		return choice{}, fmt.Errorf("backend: unknown backend %q in %s, known are go, xla, xla:cpu, xla:cuda, cuda and xla:/path/to/plugin.so", name, source)
	case plugin == "":
	case plugin == string(CPU) || plugin == string(CUDA):
		c.platform = Platform(plugin)
	case strings.ContainsRune(plugin, filepath.Separator):
		path, err := filepath.Abs(plugin)
		if err != nil {
			return choice{}, fmt.Errorf("backend: %q: %w", name, err)
		}
		c.path = path
	default:
		return choice{}, fmt.Errorf("backend: unknown plugin %q in %s, known are cpu, cuda and the path of a plugin", plugin, source)
	}
	return c, nil
}

func (c choice) find() (Plugin, error) {
	if c.path != "" {
		return examine(Plugin{Path: c.path, Platform: platformOf(c.path), Source: c.source})
	}
	return find(c.platform)
}

// openGo runs operations one after another unless options say otherwise: the parallel scheduler of compute v0.1.6 can
// wait forever on graphs as wide as CURE's update, which bisects many tensors at once.
func openGo(options string, devices int) (compute.Backend, error) {
	if devices > 1 {
		return nil, fmt.Errorf("backend: devices %d: the pure Go backend offers one; several need XLA", devices)
	}
	if options == "" {
		options = "ops_sequential"
	}
	b, err := compute.NewWithConfig("go:" + options)
	if err != nil {
		return nil, fmt.Errorf("backend: pure Go: %w", err)
	}
	return b, nil
}

// openXLA sets malloc and XLA_FLAGS, then loads a plugin that has been tried.
func openXLA(p Plugin, options string, opt Options) (compute.Backend, error) {
	if p.Platform == CPU && !tuningOff() && !userTunesMalloc() {
		tuneMalloc()
	}
	flags := p.Flags
	if opt.Deterministic && p.Platform == CUDA {
		flags = append([]string{"--xla_gpu_deterministic_ops=true"}, flags...)
	}
	if len(flags) > 0 {
		if err := os.Setenv("XLA_FLAGS", joinFlags(flags, userFlags())); err != nil {
			return nil, fmt.Errorf("backend: %w", err)
		}
	}
	path, cleanup, err := plainPath(p)
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	defer cleanup()
	if err := keepPrograms(p, path, opt.Devices); err != nil {
		return nil, err
	}
	create := pjrt.NamedValuesMap{}
	if p.Platform == CPU && opt.Devices > 1 {
		create["cpu_device_count"] = int64(opt.Devices)
	}
	b, err := xla.NewWithOptions(pluginConfig(path, p.Platform, options), create)
	if err != nil {
		return nil, fmt.Errorf("backend: %s: %s", p.Path, strings.Join(strings.Fields(err.Error()), " "))
	}
	if opt.Devices <= 1 {
		return b, nil
	}
	together, err := mesh.Over(b, opt.Devices)
	if err != nil {
		b.Finalize()
		return nil, fmt.Errorf("backend: %s: %w", p.Path, err)
	}
	return together, nil
}

// tuneMalloc prepares malloc once for all backends of the process.
var tuneMalloc = sync.OnceFunc(func() {
	if keepMemory() {
		largePages()
	}
})

// pluginConfig is go-xla's name for a plugin file with its options. Its defaults depend on words in the path, so they
// are all given: buffers shared with the host on CPU, matrix products in full float32 as PyTorch has them by default.
func pluginConfig(path string, platform Platform, options string) string {
	config := path
	if !strings.Contains(options, "shared_buffers") {
		config += fmt.Sprintf(",shared_buffers=%t", platform == CPU)
	}
	if !strings.Contains(options, "tf32") {
		config += ",tf32=false"
	}
	if options != "" {
		config += "," + options
	}
	return config
}

// plainPath works around go-xla taking a plugin for CUDA when any folder above it is named so (a home folder
// /home/nvidia, say): a CPU plugin with such a path is loaded through a link with a plain one.
func plainPath(p Plugin) (path string, cleanup func(), err error) {
	upper := strings.ToUpper(p.Path)
	if p.Platform != CPU || !strings.Contains(upper, "CUDA") && !strings.Contains(upper, "NVIDIA") {
		return p.Path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "pjrt")
	if err != nil {
		return "", nil, err
	}
	link := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	if err := os.Symlink(p.Path, link); err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return link, func() { os.RemoveAll(dir) }, nil
}
