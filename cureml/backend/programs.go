package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cure/cureml/backend/compiled"
)

// cacheEnv says where compiled programs are kept: on (the user's cache), off, or an absolute folder.
const cacheEnv = "CURE_CACHE"

// mostPrograms is how many bytes of them are kept.
const mostPrograms = 1 << 30

// programFolder is where compiled programs are kept, "" for nowhere.
func programFolder() (string, error) {
	text := os.Getenv(cacheEnv)
	switch strings.ToLower(text) {
	case "", "off", "0", "no", "false":
		return "", nil
	case "on", "1", "yes", "true":
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("backend: %s=%s: %w", cacheEnv, text, err)
		}
		return filepath.Join(cache, modulePath, "programs"), nil
	}
	if !filepath.IsAbs(text) {
		return "", fmt.Errorf("backend: %s=%s: accepted are on, off and an absolute folder", cacheEnv, text)
	}
	return filepath.Clean(text), nil
}

// keepsPrograms reports whether compiled programs are kept, which programs with oneDNN calls cannot be.
func keepsPrograms() bool {
	folder, err := programFolder()
	return err == nil && folder != ""
}

// keepPrograms makes go-xla take the plugin at path, loaded through the cache, where one is wanted. Several devices go
// without: what their programs are loaded into is not theirs alone.
func keepPrograms(p Plugin, path string, devices int) error {
	folder, err := programFolder()
	if err != nil || folder == "" || devices > 1 {
		return err
	}
	if p.Platform == CPU && oneDNNOn(userFlags()) {
		return fmt.Errorf("backend: XLA_FLAGS has %s: programs with oneDNN calls cannot be kept, so leave it out or set %s=off", oneDNNFlag, cacheEnv)
	}
	salt, err := codeDependsOn(p)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	if err := compiled.Register(path, compiled.Store{Dir: folder, Salt: salt, Most: mostPrograms}); err != nil {
		return fmt.Errorf("backend: %s=%s: %w", cacheEnv, os.Getenv(cacheEnv), err)
	}
	return nil
}

// oneDNNOn reports whether flags switch the calls of oneDNN on.
func oneDNNOn(flags string) bool {
	name, _, _ := strings.Cut(oneDNNFlag, "=")
	on := false
	for _, f := range strings.Fields(flags) {
		if key, value, _ := strings.Cut(f, "="); key == name {
			on = value != "false" && value != "0"
		}
	}
	return on
}

// codeDependsOn lists what decides about compiled code besides the program: the plugin's file, XLA's flags, the processor,
// and NVIDIA's driver and devices.
func codeDependsOn(p Plugin) (string, error) {
	info, err := os.Stat(p.Path)
	if err != nil {
		return "", err
	}
	parts := []string{p.Path, p.API, fmt.Sprint(info.Size(), info.ModTime().UnixNano()), os.Getenv("XLA_FLAGS")}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		first, _, _ := strings.Cut(string(text), "\n\n") // the first processor
		for line := range strings.Lines(first) {
			switch key, _, _ := strings.Cut(line, ":"); strings.TrimSpace(key) {
			case "model name", "flags":
				parts = append(parts, line)
			}
		}
	}
	drivers, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	for _, path := range append(drivers, "/proc/driver/nvidia/version") {
		if text, err := os.ReadFile(path); err == nil {
			parts = append(parts, string(text))
		}
	}
	return strings.Join(parts, "\n"), nil
}
