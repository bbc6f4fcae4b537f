package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cure/attacks"
)

// OfficialResult is what the official code came to.
type OfficialResult struct {
	Torch     string        `json:"torch"`
	Clean     attacks.Flags `json:"clean"`
	Robust    attacks.Flags `json:"robust"`
	Seconds   float64       `json:"seconds"`
	Forwards  int64         `json:"forwards"`
	Backwards int64         `json:"backwards"`
	Different int           `json:"different"` // robust flags unlike ours
}

//go:embed official.py
var officialProgram string

// CheckOfficial finds out before hours of work whether the official code can run; nil where it is not asked for.
func (job AutoAttackJob) CheckOfficial(ctx context.Context) error {
	if job.Official == "" {
		return nil
	}
	if job.Network.Arch.Name != "resnet18" {
		return fmt.Errorf("bench: network %s: the comparison with the official code knows resnet18 only", job.Network.Arch.Name)
	}
	if job.Threads < 1 {
		return fmt.Errorf("bench: %d threads: want at least 1", job.Threads)
	}
	const imports = `import sys; sys.path.insert(0, sys.argv[1]); import numpy, torch; from autoattack import AutoAttack`
	if out, err := exec.CommandContext(ctx, job.Python, "-c", imports, job.Official).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("bench: %s cannot run the official code in %s: %w %s", job.Python, job.Official, err, lines[len(lines)-1])
	}
	return nil
}

// official runs the Python program.
func (job AutoAttackJob) official(ctx context.Context) (*OfficialResult, error) {
	dir, err := os.MkdirTemp("", "cure-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, weights, images := filepath.Join(dir, "official.py"), filepath.Join(dir, "weights.safetensors"), filepath.Join(dir, "images.bin")
	if err := job.Network.Save(weights); err != nil {
		return nil, err
	}
	if err := os.WriteFile(images, job.Set.Images, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(program, []byte(officialProgram), 0o600); err != nil {
		return nil, err
	}
	input, err := json.Marshal(map[string]any{
		"official": job.Official, "weights": weights, "width": job.Network.Arch.Width, "images": images, "labels": job.Set.Labels,
		"norm": map[attacks.Norm]string{attacks.Linf: "Linf", attacks.L2: "L2", attacks.L1: "L1"}[job.Ball.Norm],
		"eps":  job.Ball.Eps, "seed": job.Seed, "threads": job.Threads,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, job.Python, program)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(append(input, '\n')), &stderr
	text, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n")) // its warnings go to standard output too
	var r OfficialResult
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		return nil, fmt.Errorf("its answer %.80q: %w", text, err)
	}
	if len(r.Robust) != job.Set.Len() {
		return nil, fmt.Errorf("%d verdicts for %d images", len(r.Robust), job.Set.Len())
	}
	return &r, nil
}
