package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// Doctor writes what computes here and what is missing, each missing thing with what to do about it, and then the extra
// lines. It reports whether XLA works, and the backend of GOMLX_BACKEND where that is set.
func Doctor(w io.Writer, extra ...string) bool {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("machine", "%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	line("versions", "%s", strings.Join(Versions(), ", "))
	p, err := Find()
	switch {
	case err == nil:
		line("backend", "XLA on %s", p.Platform)
		line("plugin", "%s", p.Path)
		line("", "PJRT API %s%s%s, found by %s", p.API, suffix(", ", p.Version), suffix(", ", p.Package), p.Source)
		for i, d := range p.Devices {
			line(first(i, "devices"), "%s", d)
		}
		line("tuning", "%s", describeTuning(p))
		switch folder, wrong := programFolder(); {
		case wrong != nil:
			line("programs", "%v", wrong)
			err = wrong
		case folder != "":
			line("programs", "kept in %s", folder)
		}
	case errors.Is(err, ErrNoPlugin):
		line("backend", "pure Go, about 100 times slower than XLA")
		line("plugin", "none found: run 'make setup' or 'cure setup', or name one in %s", searchEnv)
	default:
		line("backend", "none: a plugin is there and cannot be used")
		line("plugin", "%v", err)
	}
	if name := os.Getenv(nameEnv); name != "" {
		line("", "%s=%s overrides this", nameEnv, name)
		if _, wrong := chosenPlugin(); wrong != nil {
			line("", "and cannot be used: %v", wrong)
			err = wrong
		}
	}
	if HasNVIDIA() && p.Platform != CUDA {
		line("GPU", "an NVIDIA device is there but no CUDA plugin: run 'cure setup --gpu', or name the folder of a jax-cuda13-pjrt in %s", searchEnv)
	}
	if _, err := exec.LookPath("cc"); err != nil {
		line("C compiler", "none found: building needs one, for example the package gcc or clang")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		line("Python", "none found: setup and notebooks need python3 with pip and venv")
	}
	for _, text := range extra {
		fmt.Fprintln(w, text)
	}
	return err == nil
}

// chosenPlugin is the plugin that GOMLX_BACKEND asks for; there is none for the pure Go backend.
func chosenPlugin() (Plugin, error) {
	c, err := parseName("")
	if err != nil || c.pureGo {
		return Plugin{}, err
	}
	return c.find()
}

func describeTuning(p Plugin) string {
	if tuningOff() {
		return "off (" + tuneEnv + ")"
	}
	var parts []string
	if p.Platform == CPU {
		if userTunesMalloc() {
			parts = append(parts, "malloc as your environment sets it")
		} else if runtime.GOOS == "linux" {
			parts = append(parts, "malloc keeps memory")
		}
	}
	parts = append(parts, p.Flags...)
	if flags := userFlags(); flags != "" {
		parts = append(parts, "your XLA_FLAGS "+flags)
	}
	return strings.Join(parts, ", ")
}

// Versions lists the libraries that compute, as built into this program.
func Versions() []string {
	var versions []string
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, dep := range info.Deps {
		switch dep.Path {
		case "github.com/gomlx/gomlx", "github.com/gomlx/compute", "github.com/gomlx/go-xla":
			versions = append(versions, dep.Path[len("github.com/gomlx/"):]+" "+dep.Version)
		}
	}
	return versions
}

func suffix(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}
