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
	named := len(cases)
	if findErr == nil { // the good one is found, and another asked for
		for _, name := range []string{"xla:" + bad, "tpu"} {
			c := cases[named-1]
			c.name, c.ok, c.wants = name, false, []string{p.Path, nameEnv + "=" + name, "cannot be used"}
			cases = append(cases, c)
		}
	}
	for i, c := range cases {
		if i >= named {
			t.Setenv(nameEnv, c.name)
		}
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
