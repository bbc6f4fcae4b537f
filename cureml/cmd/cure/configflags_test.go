package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml"
)

// TestArchOfConfig: --arch with the name that a config has keeps its width and form; another name starts anew.
func TestArchOfConfig(t *testing.T) {
	dir := t.TempDir()
	o := cure(t, dir, strings.Fields("train --method natural --arch preactresnet18 --width 2 --set arch.no_final_bn=true --mean 0,0,0 --std 1,1,1 --print-config")...)
	if err := os.WriteFile(filepath.Join(dir, "c.json"), []byte(o.stdout), 0o644); err != nil {
		t.Fatal(err)
	}
	if same := cure(t, dir, strings.Fields("train --config c.json --arch preactresnet18 --print-config")...); same.stdout != o.stdout {
		t.Errorf("the same name: got\n%s\nwant\n%s", same.stdout, o.stdout)
	}
	var c cureml.Config
	other := cure(t, dir, strings.Fields("train --config c.json --arch resnet34 --print-config")...)
	if err := json.Unmarshal([]byte(other.stdout), &c); err != nil || c.Arch.Name != "resnet34" || c.Arch.Width != 64 || c.Arch.NoFinalBN {
		t.Errorf("another name: %+v (%v)", c.Arch, err)
	}
}

// TestExportShipped: a shipped network is exported by its name, as eval takes it.
func TestExportShipped(t *testing.T) {
	dir := t.TempDir()
	if o := cure(t, dir, "export", "zoo:natural", "--out", "e.safetensors"); !strings.HasPrefix(o.stdout, "e.safetensors: ") {
		t.Errorf("standard output %q", o.stdout)
	}
	cure(t, dir, "export", "e.safetensors", "--arch", "resnet18", "--width", "16", "--out", "checked.safetensors")
}
