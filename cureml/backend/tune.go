package backend

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// tuneEnv switches the settings of this package off when it says "off".
const tuneEnv = "CURE_TUNE"

func tuningOff() bool {
	switch strings.ToLower(os.Getenv(tuneEnv)) {
	case "off", "0", "no", "false":
		return true
	}
	return false
}

// oneDNNFlag hands small convolutions of XLA:CPU to oneDNN: forwards with 16 channels run twice as fast (facts of
// package documentation). XLA aborts the process on flags that its build does not know, so it is tried first.
const oneDNNFlag = "--xla_cpu_experimental_onednn_custom_call=true"

// noYNNFlag switches off XLA:CPU's own fusions with the library YNNPACK, which take convolutions away from oneDNN: forwards
// of a ResNet-18 of width 16 run 1.3 times as fast without them, gradients with regard to images 1.15 times.
const noYNNFlag = "--xla_cpu_experimental_ynn_fusion_type="

// flagsFor lists the XLA flags that we would like for a plugin; those whose name the user has set are left alone. The flags
// for CPUs go together with oneDNN, without which they have no use.
func flagsFor(p Plugin) []string {
	flags := []string{oneDNNFlag, noYNNFlag}
	if p.Platform == CUDA {
		flags = []string{cudaDataFlag(p.Path)}
	} else if tuningOff() || keepsPrograms() {
		return nil
	}
	return slices.DeleteFunc(flags, func(flag string) bool { return flag == "" || mentions(userFlags(), flag) })
}

// cudaDataFlag tells XLA where NVIDIA's compiler and device library lie: in the folder nvidia/cu13 beside the plugin's
// folder, or one further up, as in Python's site-packages. These are the two places that the plugin itself searches.
func cudaDataFlag(path string) string {
	above := filepath.Dir(filepath.Dir(path))
	for _, dir := range []string{above, filepath.Dir(above)} {
		toolkit := filepath.Join(dir, "nvidia", "cu13")
		if info, err := os.Stat(toolkit); err == nil && info.IsDir() && !strings.ContainsAny(toolkit, " \t") {
			return "--xla_gpu_cuda_data_dir=" + toolkit
		}
	}
	return ""
}

// userFlags is XLA_FLAGS as the user set it, before this package or go-xla added to it.
var userFlags = sync.OnceValue(func() string { return os.Getenv("XLA_FLAGS") })

// mentions reports whether flags already sets the flag, to whatever value.
func mentions(flags, flag string) bool {
	name, _, _ := strings.Cut(flag, "=")
	for _, f := range strings.Fields(flags) {
		if n, _, _ := strings.Cut(f, "="); n == name {
			return true
		}
	}
	return false
}

// joinFlags puts ours before the user's: XLA believes the last.
func joinFlags(ours []string, users string) string {
	return strings.TrimSpace(strings.Join(ours, " ") + " " + users)
}

// mallocVariables are what a user sets to tune glibc's malloc; if any is there, ours stay out of it.
var mallocVariables = []string{"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "MALLOC_ARENA_MAX"}

func userTunesMalloc() bool {
	for _, name := range mallocVariables {
		if _, set := os.LookupEnv(name); set {
			return true
		}
	}
	return false
}
