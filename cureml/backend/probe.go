package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// probeTime bounds one trial of a plugin; it takes a second or two on an idle machine.
const probeTime = 3 * time.Minute

// probeForm changes when a trial learns to look at more, so that older results are not believed.
const probeForm = 2

// trial is what a child learned of a plugin.
type trial struct {
	API, Version string
	Platform     Platform
	Devices      []string
	Flags        []string // of ours, accepted; filled in by the parent
	Error        string
}

// examine checks the file, tries the plugin in a child process and fills in what it says of itself. Results of earlier
// trials of the same file under the same XLA_FLAGS are remembered beside the plugins.
func examine(p Plugin) (Plugin, error) {
	if strings.Contains(p.Path, ",") {
		return p, fmt.Errorf("backend: plugin path %q holds a comma, which separates options there: move the file", p.Path)
	}
	info, err := os.Stat(p.Path)
	if err != nil {
		return p, fmt.Errorf("backend: plugin %s: %w", p.Path, errors.Unwrap(err))
	}
	if err := checkLibrary(p.Path); err != nil {
		return p, fmt.Errorf("backend: %s is not a usable PJRT plugin: %w", p.Path, err)
	}
	record, err := checkRecord(p.Path, info)
	if err != nil {
		return p, err
	}
	p.Package = record.Package

	ours := flagsFor(p)
	key := trialKey(p.Path, info, ours)
	result, known := recall(key)
	if !known {
		if result, err = try(p, ours); err != nil {
			return p, err
		}
		remember(key, result)
	}
	p.API, p.Version, p.Platform = result.API, result.Version, result.Platform
	p.Devices, p.Flags = result.Devices, result.Flags
	return p, nil
}

// try runs the plugin with our flags, and while that fails again with one less: those are left out for good.
func try(p Plugin, ours []string) (trial, error) {
	attempt := func(flags []string) (trial, error) {
		ctx, cancel := context.WithTimeout(context.Background(), probeTime)
		defer cancel()
		var result trial
		heard := false
		err := runChild(ctx, "probe", p.Path, []string{"XLA_FLAGS=" + joinFlags(flags, userFlags())}, func(m []byte) {
			heard = json.Unmarshal(m, &result) == nil
		})
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return result, fmt.Errorf("it did not answer within %v", probeTime)
		case err != nil:
			return result, fmt.Errorf("loading it ended a trial process: %w", err)
		case !heard:
			return result, errors.New("a trial process ended without an answer")
		case result.Error != "":
			return result, errors.New(result.Error)
		}
		result.Flags = flags
		return result, nil
	}
	result, err := attempt(ours)
	for n := len(ours) - 1; err != nil && n >= 0; n-- {
		result, err = attempt(ours[:n])
	}
	if err != nil {
		hint := ""
		if flags := userFlags(); flags != "" {
			hint = fmt.Sprintf(" (XLA_FLAGS is %q)", flags)
		}
		return trial{}, fmt.Errorf("backend: the PJRT plugin %s cannot be used: %w%s", p.Path, err, hint)
	}
	return result, nil
}

// childProbe loads the plugin, asks it who it is and computes a convolution with a known answer.
func childProbe(path string, send func(any)) {
	result, err := func() (trial, error) {
		plugin, err := pjrt.GetPlugin(path)
		if err != nil {
			return trial{}, err
		}
		major, minor := plugin.Version()
		client, err := plugin.NewClient(nil)
		if err != nil {
			return trial{}, err
		}
		result := trial{API: fmt.Sprintf("%d.%d", major, minor), Version: versionOf(plugin, client), Platform: CPU}
		if name := strings.ToLower(client.Platform()); name != "cpu" && name != "host" {
			result.Platform = CUDA
		}
		if err := client.Destroy(); err != nil {
			return result, err
		}
		path, cleanup, err := plainPath(Plugin{Path: path, Platform: result.Platform})
		if err != nil {
			return result, err
		}
		defer cleanup()
		b, err := xla.New(pluginConfig(path, result.Platform, ""))
		if err != nil {
			return result, err
		}
		for i := range b.NumDevices() {
			result.Devices = append(result.Devices, b.DeviceDescription(compute.DeviceNum(i)))
		}
		return result, checkConvolution(b)
	}()
	if err != nil {
		result.Error = strings.Join(strings.Fields(err.Error()), " ")
	}
	send(result)
}

// versionOf is what a plugin says of its build. The CPU plugin's platform version is just "cpu".
func versionOf(plugin *pjrt.Plugin, client *pjrt.Client) string {
	var parts []string
	if v := firstLine(client.PlatformVersion()); v != "" && v != client.Platform() {
		parts = append(parts, v)
	}
	if v, ok := plugin.Attributes()["stablehlo_current_version"].([]int64); ok && len(v) == 3 {
		parts = append(parts, fmt.Sprintf("StableHLO %d.%d.%d", v[0], v[1], v[2]))
	}
	return strings.Join(parts, ", ")
}

// checkConvolution compares a 3x3 convolution of 16 channels on b with sums computed here in float64. That is the shape
// that oneDNN takes over when its flag is set.
func checkConvolution(b compute.Backend) error {
	const n, size, c = 2, 8, 16
	x, w := make([]float32, n*size*size*c), make([]float32, 3*3*c*c)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	for i := range w {
		w[i] = float32(math.Cos(float64(3*i))) / c
	}
	exec, err := graph.NewExec(b, func(x, w *graph.Node) *graph.Node { return graph.Convolve(x, w).PadSame().Done() })
	if err != nil {
		return err
	}
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, n, size, size, c), tensors.FromFlatDataAndDimensions(w, 3, 3, c, c))
	if err != nil {
		return err
	}
	got, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return err
	}
	for i := range got {
		b, y, x0, k := i/(size*size*c), i/(size*c)%size, i/c%size, i%c
		want := 0.0
		for dy := range 3 {
			for dx := range 3 {
				if iy, ix := y+dy-1, x0+dx-1; iy >= 0 && iy < size && ix >= 0 && ix < size {
					for j := range c {
						want += float64(x[((b*size+iy)*size+ix)*c+j]) * float64(w[((dy*3+dx)*c+j)*c+k])
					}
				}
			}
		}
		// 1e-2 allows for TF32 on a GPU; a wrong layout is off by about 1.
		if !(math.Abs(float64(got[i])-want) < 1e-2) {
			return fmt.Errorf("it computes convolutions wrong: value %d is %g instead of %g", i, got[i], want)
		}
	}
	return nil
}

// trialKey names a trial by what its result depends on.
func trialKey(path string, info os.FileInfo, ours []string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d|%s|%d|%d|%q|%q", probeForm, path, info.Size(), info.ModTime().UnixNano(),
		ours, userFlags()))
	return hex.EncodeToString(sum[:8])
}

func recall(key string) (trial, bool) {
	for _, dir := range ownFolders() {
		text, err := os.ReadFile(filepath.Join(dir, "trial-"+key+".json"))
		var result trial
		if err == nil && json.Unmarshal(text, &result) == nil && result.API != "" && result.Error == "" {
			return result, true
		}
	}
	return trial{}, false
}

// remember is best effort: where nothing can be written, the next program tries the plugin again.
func remember(key string, result trial) {
	dir, err := installFolder()
	if err != nil || os.MkdirAll(dir, 0o755) != nil {
		return
	}
	if text, err := json.MarshalIndent(result, "", "  "); err == nil {
		_ = writeAtomically(filepath.Join(dir, "trial-"+key+".json"), append(text, '\n'))
	}
}
