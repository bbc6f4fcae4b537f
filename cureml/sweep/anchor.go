package sweep

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cure/cureml"
)

// Anchor makes the paths of data sets absolute, so that tasks find them whatever folder they start in.
func (g Grid) Anchor() (Grid, error) {
	g.Data = slices.Clone(g.Data)
	for i, ref := range g.Data {
		if ref == cureml.EmbeddedData || ref == "" {
			continue
		}
		path, err := filepath.Abs(ref)
		if err != nil {
			return g, fmt.Errorf("sweep: data %s: %w", ref, err)
		}
		g.Data[i] = path
	}
	return g, nil
}

// Volume is the folder of this machine that tasks elsewhere see at mount, where they see the sweep at dir: what is left of
// the sweep's path here without the folders that lie between mount and dir. It is "" where the sweep needs no data set of
// a path; a data set outside of it is an error.
func (s *Sweep) Volume(dir, mount string) (string, error) {
	var paths []Set
	for _, set := range s.Sets {
		if set.Ref != "" && set.Ref != cureml.EmbeddedData {
			paths = append(paths, set)
		}
	}
	if paths == nil {
		return "", nil
	}
	here, err := filepath.Abs(s.Dir)
	if err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	below, err := filepath.Rel(mount, dir)
	if err != nil || !filepath.IsLocal(below) {
		return "", fmt.Errorf("sweep: folder %s: want one below the mount %s", dir, mount)
	}
	volume := here
	if below != "." {
		rest, ok := strings.CutSuffix(here, string(filepath.Separator)+below)
		if !ok {
			return "", fmt.Errorf("sweep: %s does not end in %s, as %s does below %s: where the volume lies here, and with it the data set %s, is unknown", here, below, dir, mount, paths[0].Ref)
		}
		volume = rest
	}
	for _, set := range paths {
		if below, err := filepath.Rel(volume, set.Ref); err != nil || !filepath.IsLocal(below) {
			return "", fmt.Errorf("sweep: data %s: tasks see what lies below %s alone: copy it there, and plan the sweep again", set.Ref, volume)
		}
	}
	return volume, nil
}

// Moved is where a path below from lies when that is seen at to; other paths stay.
func Moved(path, from, to string) string {
	below, err := filepath.Rel(from, path)
	if from == "" || err != nil || !filepath.IsLocal(below) {
		return path
	}
	return filepath.Join(to, below)
}
