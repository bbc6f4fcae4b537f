package backend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// searchEnv names the variable with files and folders that hold PJRT plugins, as go-xla reads it.
const searchEnv = "PJRT_PLUGIN_LIBRARY_PATH"

// sourceProject is the [Plugin] source of what [Setup] installed.
const sourceProject = "project folder"

// ErrNoPlugin is returned by [Find] and [Open] when no PJRT plugin was found anywhere.
var ErrNoPlugin = errors.New("no PJRT plugin found")

// Platform is the kind of device that a plugin drives: "cpu" or "cuda".
type Platform string

// Platforms that this project knows.
const (
	CPU  Platform = "cpu"
	CUDA Platform = "cuda"
)

// Plugin is a PJRT plugin that was found and tried.
type Plugin struct {
	Path     string   // absolute
	Platform Platform // as its file name says until it was tried, then as the plugin itself says
	Source   string   // what led to it: "PJRT_PLUGIN_LIBRARY_PATH", "project folder", "go-xla", "GOMLX_BACKEND" ...
	Package  string   // wheel and version when [Setup] installed it, else empty
	API      string   // version of the PJRT C API, such as "0.104"
	Version  string   // what the plugin says of its build; may be empty
	Devices  []string // one line a device
	Flags    []string // XLA flags of ours that it was seen to accept
}

// String is the plugin in one line.
func (p Plugin) String() string {
	s := fmt.Sprintf("%s plugin %s (PJRT API %s", p.Platform, p.Path, p.API)
	if p.Package != "" {
		s += ", " + p.Package
	}
	return s + ")"
}

// Find returns the plugin that [Open] would use and what it says of itself. The error is [ErrNoPlugin] when there is
// none, and tells in one sentence what is wrong when one is there and cannot be used.
func Find() (Plugin, error) { return find("") }

// find returns the first plugin for the platform; an empty platform means cuda where there is an NVIDIA device, else cpu.
func find(want Platform) (Plugin, error) {
	found := candidates()
	order := []Platform{want}
	if want == "" {
		order = []Platform{CPU}
		if HasNVIDIA() {
			order = []Platform{CUDA, CPU}
		}
	}
	for _, platform := range order {
		for _, p := range found {
			if p.Platform == platform {
				return examine(p)
			}
		}
	}
	if want != "" {
		return Plugin{}, fmt.Errorf("backend: %w for %s", ErrNoPlugin, want)
	}
	return Plugin{}, fmt.Errorf("backend: %w", ErrNoPlugin)
}

// candidates lists plugin files by name only, in the order of preference; none has been opened yet.
func candidates() []Plugin {
	var found []Plugin
	add := func(source, place string) {
		for _, file := range pluginFiles(place) {
			found = append(found, Plugin{Path: file, Platform: platformOf(file), Source: source})
		}
	}
	for _, place := range filepath.SplitList(os.Getenv(searchEnv)) {
		add(searchEnv, place)
	}
	for _, dir := range ownFolders() {
		add(sourceProject, dir)
		add(sourceProject, filepath.Join(dir, "go-xla"))
		add(sourceProject, filepath.Join(dir, string(CUDA), "plugin"))
	}
	for _, dir := range goXLAFolders() {
		add("go-xla", dir)
	}
	return found
}

// firstIn examines the first plugin for the platform in a folder.
func firstIn(dir string, platform Platform) (Plugin, error) {
	for _, file := range pluginFiles(dir) {
		if platformOf(file) == platform {
			return examine(Plugin{Path: file, Platform: platform, Source: sourceProject})
		}
	}
	return Plugin{}, fmt.Errorf("backend: %w in %s", ErrNoPlugin, dir)
}

// pluginPatterns are the names that PJRT plugins go by: go-xla's two forms, then those inside the wheels.
var pluginPatterns = []string{
	"pjrt_c_api_*_plugin.so", "pjrt_c_api_*_plugin.dylib", "pjrt[-_]plugin[-_]*.so", "pjrt[-_]plugin[-_]*.dylib",
	"xla_cuda_plugin.so", "xla_cpu_pjrt.so",
}

// pluginFiles returns the plugins in a folder, or the file itself when place is one.
func pluginFiles(place string) []string {
	if place == "" {
		return nil
	}
	place, err := filepath.Abs(place)
	if err != nil {
		return nil
	}
	info, err := os.Stat(place)
	if err != nil {
		return nil
	}
	if !info.IsDir() {
		return []string{place}
	}
	entries, err := os.ReadDir(place)
	if err != nil {
		return nil
	}
	var files []string
	for _, pattern := range pluginPatterns {
		for _, e := range entries {
			if ok, _ := filepath.Match(pattern, e.Name()); ok {
				files = append(files, filepath.Join(place, e.Name()))
			}
		}
	}
	return files
}

// platformOf guesses from the file name alone; folders above it often carry misleading words.
func platformOf(file string) Platform {
	name := strings.ToLower(filepath.Base(file))
	if strings.Contains(name, "cuda") || strings.Contains(name, "gpu") || strings.Contains(name, "nvidia") {
		return CUDA
	}
	return CPU
}

// HasNVIDIA reports whether the machine shows an NVIDIA device.
func HasNVIDIA() bool {
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	return len(devices) > 0
}
