package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute"

	"cure/cureml/backend"
)

// reply is what a worker answers: first when it has opened its backend, then after every step.
type reply struct {
	Error   string `json:",omitempty"`
	Backend string `json:",omitempty"` // the first reply only
	Devices string `json:",omitempty"` // the first reply only
	Seconds float64
	Images  int   // of a turn
	Peak    int64 // bytes
}

// Work is the program of a worker. It reads a Job from commands, one line of JSON, and then takes one turn for every
// further line, until the end of commands; each line is answered by one of JSON. The first turn compiles, and its time
// includes putting the weights on the device. Peers do the same in Python.
//
// Errors go to the other side as well as being returned.
func Work(commands io.Reader, replies io.Writer) error {
	in, out := json.NewDecoder(commands), json.NewEncoder(replies)
	err := work(in, out)
	if err != nil {
		if sendErr := out.Encode(reply{Error: oneLine(err)}); sendErr != nil {
			return fmt.Errorf("bench: worker: %w", sendErr)
		}
	}
	return err
}

func work(in *json.Decoder, out *json.Encoder) error {
	var job Job
	if err := in.Decode(&job); err != nil {
		return fmt.Errorf("bench: worker: no job: %w", err)
	}
	b, err := backend.Open(backend.Options{Name: job.Backend, Devices: job.Devices, Deterministic: true})
	if err != nil {
		return err
	}
	if err := out.Encode(reply{Backend: describe(b), Devices: devices(b)}); err != nil {
		return err
	}
	var t task
	for {
		var turn struct{}
		if err := in.Decode(&turn); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("bench: worker: %w", err)
		}
		clock := time.Now()
		if t.turn == nil {
			if t, err = job.open(b); err != nil {
				return err
			}
			defer t.free()
		}
		if err := t.turn(); err != nil {
			return err
		}
		if err := out.Encode(reply{Seconds: time.Since(clock).Seconds(), Images: t.images, Peak: peakMemory(b)}); err != nil {
			return err
		}
	}
}

// describe names b, with the plugin and the XLA flags where they are known.
func describe(b compute.Backend) string {
	p, err := backend.Find()
	if err != nil || !strings.Contains(b.Description(), p.Path) {
		return b.Description()
	}
	name := p.Package
	if name == "" {
		name = filepath.Base(p.Path)
	}
	return strings.Join(append([]string{fmt.Sprintf("xla on %s, %s, PJRT API %s", p.Platform, name, p.API)}, p.Flags...), ", ")
}

// devices describes the accelerators of b; the processor is described elsewhere.
func devices(b compute.Backend) string {
	if !onGPU(b) {
		return ""
	}
	var list []string
	for i := range b.NumDevices() {
		list = append(list, b.DeviceDescription(compute.DeviceNum(i)))
	}
	return strings.Join(list, ", ")
}

// onGPU goes by how PJRT describes the first device, which begins with cpu or, on the host's processors, Host.
func onGPU(b compute.Backend) bool {
	if b.Name() != "xla" || b.NumDevices() == 0 {
		return false
	}
	text := strings.ToLower(b.DeviceDescription(0))
	return strings.Contains(text, "cuda") || strings.Contains(text, "gpu")
}

// peakMemory is the largest resident size that this process had so far (VmHWM of Linux), in bytes. It is 0 where that is
// not known, and on a GPU, whose memory go-xla does not report.
func peakMemory(b compute.Backend) int64 {
	if onGPU(b) {
		return 0
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return parsePeak(string(status))
}

// parsePeak finds the line "VmHWM:   123 kB".
func parsePeak(status string) int64 {
	_, rest, _ := strings.Cut(status, "\nVmHWM:")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

func oneLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}
