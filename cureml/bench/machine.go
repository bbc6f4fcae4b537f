package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"cure/cureml/backend"
)

// Machine is the computer in one line: system, processor, cores, memory.
func Machine() string {
	parts := []string{runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := field(string(text), "model name"); model != "" {
			parts = append(parts, model)
		}
	}
	parts = append(parts, fmt.Sprintf("%d cores", runtime.NumCPU()))
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kilobytes float64
		if _, err := fmt.Sscanf(field(string(text), "MemTotal"), "%f kB", &kilobytes); err == nil {
			parts = append(parts, fmt.Sprintf("%.1f GiB", kilobytes/(1<<20)))
		}
	}
	return strings.Join(parts, ", ")
}

// field is the value of the first line "name : value" of a text from /proc.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// versions are those of Go, of the libraries that compute, and the commit of this program where the build recorded it.
func versions() map[string]string {
	all := map[string]string{"go": runtime.Version()}
	for _, v := range backend.Versions() {
		if name, version, ok := strings.Cut(v, " "); ok {
			all[name] = version
		}
	}
	if commit := Commit(); commit != "" {
		all["cure"] = commit
	}
	return all
}

// Commit is that of this program where the build recorded it, with the word modified after it where files had changed;
// "" otherwise, as under go run and go test.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if commit != "" && settings["vcs.modified"] == "true" {
		commit += " modified"
	}
	return commit
}
