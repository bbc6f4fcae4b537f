package study

import (
	"reflect"
	"slices"
	"testing"

	"cure/cureml/analysis"
)

// Every preset says how much the notebooks look at.
func TestLookSizes(t *testing.T) {
	for _, p := range presets {
		size, ok := lookSizes[p.Name]
		if !ok || size.similar < 4 || size.measured < 2 {
			t.Errorf("preset %s: %+v", p.Name, size)
		}
	}
}

// What networks look like is computed once, and what they learn from sets of features too.
func TestLooks(t *testing.T) {
	s, c := small(t)
	if _, err := s.Train("natural", c, nil); err != nil {
		t.Fatal(err)
	}
	similar, err := s.Similarity("natural")
	if err != nil {
		t.Fatal(err)
	}
	if similar.N != 16 || similar.Views[0].Network != "natural" || len(similar.Comparisons) != 2 {
		t.Errorf("%d images, %d comparisons of %+v", similar.N, len(similar.Comparisons), similar.Views)
	}
	lines := map[string]int{}
	sets, err := s.FeatureSets("natural", "natural", func(set string, l Line) { lines[set]++ })
	if err != nil {
		t.Fatal(err)
	}
	if sets.N != 24 || sets.TestN != 6 || len(sets.Sets) != 3 {
		t.Errorf("%d training and %d test images, %d sets", sets.N, sets.TestN, len(sets.Sets))
	}
	for _, name := range []string{analysis.OriginalSet, analysis.RobustSet, analysis.PerturbedSet} {
		if lines[name] == 0 {
			t.Errorf("no training on the set %s was seen: %v", name, lines)
		}
	}
	withoutBackend(t, s)
	if again, err := s.Similarity("natural"); err != nil || !reflect.DeepEqual(again, similar) {
		t.Errorf("similarity from its file differs, or error: %v", err)
	}
	if again, err := s.FeatureSets("natural", "natural", nil); err != nil || !reflect.DeepEqual(again, sets) {
		t.Errorf("feature sets from their file differ, or error: %v", err)
	}
	if _, err := s.Similarity("natural", "natural"); err == nil {
		t.Error("other networks: read from a file, want an attempt to compute")
	}
	if _, err := s.Features("none"); err == nil {
		t.Error("no such run is no error")
	}
}

// The names of zoo networks are short in pictures.
func TestShortName(t *testing.T) {
	if got := []string{shortName("zoo:cure"), shortName("cure")}; !slices.Equal(got, []string{"cure", "cure"}) {
		t.Error(got)
	}
}
