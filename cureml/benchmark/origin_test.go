package benchmark

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml/bench"
)

// TestOrigin: a card names the machine of the run, not the one that makes the card.
func TestOrigin(t *testing.T) {
	run := t.TempDir()
	if o, err := readOrigin(run); o != nil || err != nil {
		t.Errorf("no file: %+v, %v", o, err)
	}
	if err := writeOrigin(run); err != nil {
		t.Fatal(err)
	}
	if o, err := readOrigin(run); err != nil || o.Machine != bench.Machine() || o.Commit != commit() {
		t.Errorf("read %+v, %v", o, err)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(run, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("metrics.jsonl", "")
	put(originFile, `{"machine": "a node, 8 cores", "commit": "abc"}`)
	c := Card{Machine: "here", Commit: "def"}
	if err := c.training(run); err != nil || c.Machine != "a node, 8 cores" || c.Commit != "abc" {
		t.Errorf("card of %q, commit %q (%v)", c.Machine, c.Commit, err)
	}
	put(originFile, "torn")
	if err := c.training(run); err == nil || !strings.Contains(err.Error(), originFile) {
		t.Errorf("a torn file: %v", err)
	}
}
