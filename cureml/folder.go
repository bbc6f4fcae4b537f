package cureml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

// folder is a run's directory: config.json, metrics.jsonl, checkpoint.safetensors, snapshots where the config asks for them
// and, at the end, final.safetensors.
type folder struct {
	dir     string
	lock    *os.File
	metrics *os.File
}

const (
	configFile  = "config.json"
	metricsFile = "metrics.jsonl"
	finalFile   = "final.safetensors"
	bestFile    = "best.safetensors"
)

// ErrInUse is the cause of the error about a run folder that another process trains in.
var ErrInUse = errors.New("is in use by another process")

// InUse says whether a process trains in the run folder dir.
func InUse(dir string) bool {
	file, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// openFolder makes or opens a run folder and locks it against a second process. A folder that holds a run already is only
// opened to resume that run, with the same config.
func openFolder(dir string, cfg Config, resume bool) (*folder, error) {
	existing, err := os.ReadFile(filepath.Join(dir, configFile))
	switch {
	case err == nil && !resume:
		return nil, fmt.Errorf("cureml: %s holds a run already: resume it, or choose another folder", dir)
	case err == nil:
		old, err := ParseConfig(existing)
		if err != nil {
			return nil, fmt.Errorf("%w (in %s)", err, filepath.Join(dir, configFile))
		}
		if diff := differences(old, cfg); len(diff) > 0 {
			return nil, fmt.Errorf("cureml: %s was started with another config: %s", dir, strings.Join(diff, ", "))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cureml: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cureml: run folder: %w", err)
	}
	f := &folder{dir: dir}
	if f.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("cureml: run folder: %w", err)
	}
	// The kernel drops the lock with the process, however that ends, so a killed run leaves nothing to clean up.
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.lock.Close()
		return nil, fmt.Errorf("cureml: %s %w", dir, ErrInUse)
	}
	if existing == nil {
		b, err := json.MarshalIndent(cfg, "", "  ")
		if err == nil {
			err = renameio.WriteFile(filepath.Join(dir, configFile), append(b, '\n'), 0o644)
		}
		if err != nil {
			f.close()
			return nil, fmt.Errorf("cureml: %w", err)
		}
	}
	return f, nil
}

// openMetrics cuts metrics.jsonl to the part that belongs to the checkpoint, and appends from there.
func (f *folder) openMetrics(size int64) (err error) {
	if f.metrics, err = os.OpenFile(filepath.Join(f.dir, metricsFile), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	info, err := f.metrics.Stat()
	if err == nil && info.Size() < size {
		err = fmt.Errorf("%s has %d bytes, its checkpoint knows %d", f.metrics.Name(), info.Size(), size)
	}
	if err == nil {
		err = f.metrics.Truncate(size)
	}
	if err == nil {
		_, err = f.metrics.Seek(size, 0)
	}
	if err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	return nil
}

// write appends one line to metrics.jsonl.
func (f *folder) write(line any) error {
	b, err := json.Marshal(line)
	if err == nil {
		_, err = f.metrics.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cureml: %s: %w", metricsFile, err)
	}
	return nil
}

// size flushes metrics.jsonl and returns its length.
func (f *folder) size() (int64, error) {
	if err := f.metrics.Sync(); err != nil {
		return 0, fmt.Errorf("cureml: %w", err)
	}
	return f.metrics.Seek(0, 1)
}

func (f *folder) close() {
	if f.metrics != nil {
		f.metrics.Close()
	}
	f.lock.Close()
}

// differences lists the keys in which two configs differ, as "key old -> new". Where batches are made changes no bit.
func differences(old, now Config) (diff []string) {
	old.DataOnDevice = now.DataOnDevice
	a, b := flatten(old), flatten(now)
	for k, v := range b {
		if a[k] != v {
			diff = append(diff, fmt.Sprintf("%s %s -> %s", k, a[k], v))
		}
		delete(a, k)
	}
	for k, v := range a {
		diff = append(diff, fmt.Sprintf("%s %s -> none", k, v))
	}
	slices.Sort(diff)
	return diff
}

func flatten(c Config) map[string]string {
	b, _ := json.Marshal(c)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var tree any
	_ = d.Decode(&tree)
	flat := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if m, ok := v.(map[string]any); ok {
			for k, sub := range m {
				walk(strings.TrimPrefix(path+"."+k, "."), sub)
			}
			return
		}
		flat[path] = fmt.Sprint(v)
	}
	walk("", tree)
	return flat
}
