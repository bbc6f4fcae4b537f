package weights

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWriteFullDisk writes 4 MiB in a child process whose files the kernel limits to 1 MiB: like a full disk,
// writes come back short in the middle of a tensor.
func TestWriteFullDisk(t *testing.T) {
	if path := os.Getenv("WEIGHTS_TEST_FULL_DISK"); path != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		var d Dict
		d.Set("big", Float32s([]int{1 << 20}, make([]float32, 1<<20)))
		err := WriteSafetensors(path, &d)
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "file too large") {
			t.Fatalf("got %v, want one line about the file's size", err)
		}
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriteFullDisk$")
	cmd.Env = append(os.Environ(), "WEIGHTS_TEST_FULL_DISK="+filepath.Join(dir, "w.safetensors"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantFiles(t, dir)
}
