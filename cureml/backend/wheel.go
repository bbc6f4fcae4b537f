package backend

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// pipTime bounds one download through pip.
const pipTime = 30 * time.Minute

// libraryLimit bounds what one file of a wheel may unpack to; the largest, a CUDA library, has 0.8 GB.
const libraryLimit = 2 << 30

// setupFromWheels fetches a set of pinned wheels, unpacks the plugin (and NVIDIA's libraries) and tries it.
func setupFromWheels(ctx context.Context, dir string, platform Platform, set []wheel, log io.Writer) (Plugin, error) {
	tmp, err := os.MkdirTemp(dir, ".download-")
	if err != nil {
		return Plugin{}, err
	}
	defer os.RemoveAll(tmp)
	fmt.Fprintf(log, "XLA: fetching %s through pip\n", set[0])
	files, err := pipDownload(ctx, tmp, set)
	if err != nil {
		return Plugin{}, err
	}

	plugin := "pjrt_c_api_cpu_plugin.so"
	names := []string{plugin, plugin + ".json"}
	if platform == CUDA {
		plugin, names = filepath.Join(string(CUDA), "plugin", "pjrt_c_api_cuda_plugin.so"), []string{string(CUDA)}
		if err := os.MkdirAll(filepath.Join(tmp, filepath.Dir(plugin)), 0o755); err != nil {
			return Plugin{}, err
		}
		for _, w := range set[1:] {
			if err := unpackTree(files[w.Package], "nvidia/", filepath.Join(tmp, string(CUDA))); err != nil {
				return Plugin{}, err
			}
		}
	}
	if err := unpackFile(files[set[0].Package], set[0].Library, filepath.Join(tmp, plugin)); err != nil {
		return Plugin{}, err
	}
	if err := writeRecord(filepath.Join(tmp, plugin), set[0].String()); err != nil {
		return Plugin{}, err
	}
	p, err := replace(dir, tmp, names, plugin, platform)
	if err != nil {
		return Plugin{}, err
	}
	fmt.Fprintf(log, "XLA: installed %s\n", p)
	return p, nil
}

// pipDownload fetches wheels with the first Python that has pip, and returns their files by package. Both pip and this
// function compare the hashes.
func pipDownload(ctx context.Context, dir string, set []wheel) (map[string]string, error) {
	python, err := pythonWithPip(ctx)
	if err != nil {
		return nil, err
	}
	var lines strings.Builder
	for _, w := range set {
		lines.WriteString(w.requirement())
	}
	requirements := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(requirements, []byte(lines.String()), 0o644); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pipTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:",
		"--no-input", "--disable-pip-version-check", "--progress-bar=off", "--dest", dir, "--requirement", requirements)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("pip: %s", pipComplaint(string(out), err))
	}
	files := map[string]string{}
	for _, w := range set {
		pattern := strings.ReplaceAll(w.Package, "-", "_") + "-" + w.Version + "-*.whl"
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(found) != 1 {
			return nil, fmt.Errorf("pip left %d files named %s, expected one", len(found), pattern)
		}
		sum, err := fileSHA256(found[0])
		if err != nil {
			return nil, err
		}
		if sum != w.SHA256 {
			return nil, fmt.Errorf("%s has SHA-256 %s, expected %s", filepath.Base(found[0]), sum, w.SHA256)
		}
		files[w.Package] = found[0]
	}
	return files, nil
}

// pythonWithPip prefers the notebooks' private environment, which always has pip, to the machine's Python, which on
// some systems has not.
func pythonWithPip(ctx context.Context) (string, error) {
	var candidates []string
	if root, ok := Root(); ok {
		candidates = append(candidates, filepath.Join(root, stateFolder, "venv", "bin", "python"))
	}
	for _, python := range append(candidates, "python3", "python") {
		if exec.CommandContext(ctx, python, "-m", "pip", "--version").Run() == nil {
			return python, nil
		}
	}
	return "", errors.New("no Python with pip found: install python3 and python3-pip (or python3-venv and run 'make setup')")
}

// pipComplaint picks pip's own word on a failure.
func pipComplaint(out string, err error) string {
	complaint := ""
	for line := range strings.Lines(out) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "ERROR: "); ok && complaint == "" {
			complaint = text
		}
	}
	if complaint == "" {
		complaint = firstLine(out)
	}
	if complaint == "" {
		complaint = err.Error()
	}
	return complaint
}

// unpackFile writes one file of a zip archive to target, whole or not at all.
func unpackFile(archive, name, target string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(archive), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if f.Name == name {
			return unpackEntry(f, target)
		}
	}
	return fmt.Errorf("%s holds no %s", filepath.Base(archive), name)
}

// unpackTree writes all files below prefix into dir, under their names in the archive. Names that would lead out of dir
// and links are refused.
func unpackTree(archive, prefix, dir string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(archive), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, prefix) || strings.HasSuffix(f.Name, "/") {
			continue
		}
		if !filepath.IsLocal(f.Name) || path.Clean(f.Name) != f.Name || !strings.HasPrefix(path.Clean(f.Name), prefix) {
			return fmt.Errorf("%s: the name %q leads out of the archive", filepath.Base(archive), f.Name)
		}
		target := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := unpackEntry(f, target); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(archive), err)
		}
	}
	return nil
}

func unpackEntry(f *zip.File, target string) error {
	if !f.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", f.Name)
	}
	if f.UncompressedSize64 > libraryLimit {
		return fmt.Errorf("%s would unpack to %d bytes, more than any library we know", f.Name, f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	return createAtomically(target, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, r) // the reader fails on more or fewer bytes than declared, and on a wrong checksum
		return err
	})
}
