package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file that is no usable plugin gives one sentence that names it, whatever is wrong, and the process lives on.
func TestDamagedPlugins(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("needs /proc")
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := append([]byte(nil), self...)
	foreign[18], foreign[19] = 0x15, 0 // e_machine: PowerPC 64
	cases := []struct{ name, path, want string }{
		{"text", write("text.so", []byte("not a library\n")), "no shared library"},
		{"empty", write("empty.so", nil), "no shared library"},
		{"header only", write("header.so", self[:40]), "damaged or cut short at 40 bytes"},
		{"cut in the middle", write("cut.so", self[:len(self)/2]), "cut short"},
		{"other machine", write("foreign.so", foreign), "built for EM_PPC64"},
		{"other library", write("other.so", self), "GetPjrtApi"},
		{"folder", dir, "not a file"},
		{"missing", filepath.Join(dir, "none.so"), "no such file"},
		{"comma", filepath.Join(dir, "a,b.so"), "comma"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := examine(Plugin{Path: c.path, Platform: CPU})
			checkSentence(t, err, c.want, c.path)
		})
	}
}

// Libraries that look right and misbehave when loaded: the trial process dies, not we.
func TestHostilePlugins(t *testing.T) {
	isolate(t)
	for name, body := range map[string]string{
		"aborts":          `#include <stdlib.h>` + "\nvoid* GetPjrtApi(void) { abort(); }",
		"faults":          "void* GetPjrtApi(void) { return *(void* volatile*)8; }",
		"exits":           `#include <unistd.h>` + "\nvoid* GetPjrtApi(void) { _exit(0); }",
		"aborts on load":  `#include <stdlib.h>` + "\n__attribute__((constructor)) static void f(void) { abort(); }\nvoid* GetPjrtApi(void) { return 0; }",
		"missing library": "extern int nowhere(void); void* GetPjrtApi(void) { return nowhere() ? (void*)0 : (void*)1; }",
	} {
		t.Run(name, func(t *testing.T) {
			lib := compile(t, body)
			_, err := examine(Plugin{Path: lib, Platform: CPU})
			checkSentence(t, err, "cannot be used", lib)
		})
	}
}

// A library that hangs is given up, its process ended.
func TestHangingPlugin(t *testing.T) {
	lib := compile(t, "#include <unistd.h>\nvoid* GetPjrtApi(void) { sleep(600); return 0; }")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := runChild(ctx, "probe", lib, nil, func([]byte) { t.Error("it answered") })
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

// compile makes a shared library of a C source.
func compile(t *testing.T, source string) (library string) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler")
	}
	dir := t.TempDir()
	file, library := filepath.Join(dir, "plugin.c"), filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", library, file, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return library
}

// checkSentence wants an error of one line that holds both texts and no trace of a crash.
func checkSentence(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := fmt.Sprint(err)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("error %q does not say %q", text, want)
		}
	}
	for _, bad := range []string{"\n", "goroutine", "panic:"} {
		if strings.Contains(text, bad) {
			t.Errorf("error %q holds %q", text, bad)
		}
	}
}

// isolate moves the test into an empty checkout with an empty home and cache, so that it neither sees nor touches what
// is installed on the machine.
func isolate(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module cure\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv(searchEnv, "")
	t.Setenv(nameEnv, "")
	return root
}

// installedPlugin is the CPU plugin of this machine, for tests that need a real one.
func installedPlugin(t *testing.T) Plugin {
	t.Helper()
	p, err := find(CPU)
	if err != nil {
		t.Skipf("needs a PJRT plugin (make setup): %v", err)
	}
	return p
}
