package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDoctor(t *testing.T) {
	p, findErr := find(CPU)
	isolate(t)
	bad := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(bad, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, plugin string
		ok           bool
		wants        []string
	}{
		{"damaged", bad, false, []string{"cannot be used", bad, "no shared library"}},
	}
	if len(candidates()) == 0 {
		cases = append(cases, cases[0])
		cases[1].name, cases[1].plugin, cases[1].wants = "none", "", []string{"pure Go", "make setup"}
	}
	if findErr == nil {
		cases = append(cases, cases[0])
		last := &cases[len(cases)-1]
		last.name, last.plugin, last.ok, last.wants = "good", p.Path, true, append([]string{p.Path, "PJRT API " + p.API}, p.Devices...)
	}
	for _, c := range cases {
		t.Setenv(searchEnv, c.plugin)
		var out strings.Builder
		if ok := Doctor(&out, "data         none"); ok != c.ok {
			t.Errorf("%s: ok is %v", c.name, ok)
		}
		for _, want := range append(c.wants, "data         none\n") {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out.String())
			}
		}
	}
}
