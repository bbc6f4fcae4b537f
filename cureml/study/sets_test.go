package study

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestDataFolders(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("CURE_DATA", "/a:/b::/a")
	got := DataFolders()
	downloads := filepath.Join(cache, "cure", "data")
	if len(got) < 4 || !slices.Equal(got[:3], []string{"/a", "/b", "data-raw"}) || got[len(got)-1] != downloads {
		t.Errorf("folders %v, want /a, /b, data-raw, that of the checkout if there is one, and %s", got, downloads)
	}
	t.Setenv("CURE_DATA", downloads)
	if got := DataFolders(); got[0] != downloads || slices.Contains(got[1:], downloads) {
		t.Errorf("a folder twice in %v", got)
	}
}
