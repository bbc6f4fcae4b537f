package study

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/corrupt"
)

// What was measured on corrupted images is read again, another source is not taken for it, and nothing half done is left.
func TestCorruptions(t *testing.T) {
	s, _ := small(t)
	s.TestImages, s.device = 4, mltest.XLA(t)
	networks := []string{"zoo:natural"}
	var lines []string
	r, err := s.Corruptions(networks, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if r.N != 4 || len(r.Names) != 19 || r.Networks[0].Name != "natural" || r.Networks[0].Mean == nil || len(lines) < 5 {
		t.Errorf("%d images, %d corruptions, network %s, lines %q", r.N, len(r.Names), r.Networks[0].Name, lines)
	}
	checkTidy(t, s)

	dir := filepath.Join(t.TempDir(), "c")
	sets, err := s.Sets()
	if err != nil {
		t.Fatal(err)
	}
	if err := corrupt.Save(t.Context(), dir, sets.Test, corrupt.SaveOptions{Names: []string{"fog"}}); err != nil {
		t.Fatal(err)
	}
	t.Setenv(CorruptedEnv, dir)
	read, err := s.Corruptions(networks, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.Names, []string{"fog"}) || read.Networks[0].Errors["fog"] != r.Networks[0].Errors["fog"] {
		t.Errorf("from a folder with fog: %v, %v, want %v", read.Names, read.Networks[0].Errors, r.Networks[0].Errors["fog"])
	}
	t.Setenv(CorruptedEnv, filepath.Join(dir, "none"))
	if _, err := s.Corruptions(networks, nil); err == nil || !strings.Contains(err.Error(), CorruptedEnv) {
		t.Errorf("no such folder: error %v", err)
	}
	t.Setenv(CorruptedEnv, "")
	withoutBackend(t, s)
	if again, err := s.Corruptions(networks, nil); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("the second time: error %v, or another result", err)
	}
}

// checkTidy wants one file of a result.
func checkTidy(t *testing.T, s *Study) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(s.Dir, "analyses"))
	if err != nil || len(files) != 1 || filepath.Ext(files[0].Name()) != ".json" {
		t.Errorf("files %v, error %v: want one result", files, err)
	}
}

func TestPerturbations(t *testing.T) {
	s, _ := small(t)
	s.TestImages, s.device = 3, mltest.XLA(t)
	r, err := s.Perturbations([]string{"zoo:natural"}, attacks.L2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Networks[0]; r.N != 3 || r.Norm != "l2" || len(n.Searches) != 2 || n.Name != "natural" {
		t.Errorf("%d images, %s, %+v", r.N, r.Norm, n.Searches)
	}
	checkTidy(t, s)
	if _, err := s.Perturbations(nil, attacks.L0, nil); err == nil || !strings.Contains(err.Error(), "norm l0: want linf or l2") {
		t.Errorf("l0: error %v", err)
	}
	withoutBackend(t, s)
	if again, err := s.Perturbations([]string{"zoo:natural"}, attacks.L2, nil); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("the second time: error %v, or another result", err)
	}
	if _, err := s.Perturbations([]string{"zoo:natural"}, attacks.Linf, nil); err == nil {
		t.Error("another norm: read from a file, want an attempt to compute")
	}
}

// The notebooks compare shipped networks, without a training.
func TestCompared(t *testing.T) {
	s, _ := small(t)
	names, err := s.Compared()
	if err != nil || !slices.Equal(names, []string{"zoo:natural", "zoo:trades", "zoo:cure"}) {
		t.Errorf("%v, error %v", names, err)
	}
	for _, p := range presets { // a size that is missing would mean all images
		_, corruptions := corruptedImages[p.Name]
		_, perturbations := perturbationSizes[p.Name]
		if !corruptions || !perturbations {
			t.Errorf("preset %s has no size of its own: %v, %v", p.Name, corruptions, perturbations)
		}
	}
}
