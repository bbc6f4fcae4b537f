package backend

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A plugin that is installed and works is used as it is.
func TestSetupUsesWhatIsThere(t *testing.T) {
	p := installedPlugin(t)
	root := isolate(t)
	t.Setenv(searchEnv, p.Path)
	var log bytes.Buffer
	got, err := Setup(context.Background(), SetupOptions{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if got.Path != p.Path || got.Source != searchEnv || !strings.Contains(log.String(), "is installed") {
		t.Errorf("got %+v, log %q", got, log.String())
	}
	if _, err := os.Stat(filepath.Join(root, stateFolder, "pjrt", "pjrt_c_api_cpu_plugin.so")); err == nil {
		t.Error("it was installed a second time")
	}
}

// What the user named is never replaced behind his back.
func TestSetupRefusesDamagedNamedPlugin(t *testing.T) {
	isolate(t)
	bad := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(bad, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(searchEnv, bad)
	_, err := Setup(context.Background(), SetupOptions{Log: new(bytes.Buffer)})
	checkSentence(t, err, bad, "no shared library")
}

func TestSetupBadPlatform(t *testing.T) {
	isolate(t)
	_, err := Setup(context.Background(), SetupOptions{Platform: "tpu"})
	checkSentence(t, err, `unknown platform "tpu"`)
}

// The way from pip to an installed plugin, with a pip of our own making.
func TestSetupFromWheel(t *testing.T) {
	p := installedPlugin(t)
	root := isolate(t)
	dir := filepath.Join(root, stateFolder, "pjrt")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// a plugin of a few kilobytes that hands on the installed one
	small := compile(t, fmt.Sprintf(`
#include <dlfcn.h>
void* GetPjrtApi(void) {
	void* plugin = dlopen(%q, RTLD_LAZY | RTLD_LOCAL);
	return plugin ? ((void* (*)(void))dlsym(plugin, "GetPjrtApi"))() : 0;
}`, p.Path))
	library, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "some_plugin-1.0-py3-none-any.whl")
	makeZip(t, file, entry{"some_plugin/plugin.so", library, 0o755})
	fakePip(t, file)
	sum, err := fileSHA256(file)
	if err != nil {
		t.Fatal(err)
	}
	set := []wheel{{"some-plugin", "1.0", sum, "some_plugin/plugin.so"}}
	ctx := context.Background()

	got, err := setupFromWheels(ctx, dir, CPU, set, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if got.Package != "some-plugin 1.0" || got.API != p.API {
		t.Errorf("got %+v", got)
	}
	if found, err := Find(); err != nil || found.Path != got.Path || found.Package != got.Package {
		t.Errorf("found %+v, %v after the installation", found, err)
	}

	// a change of the installed file is noticed
	if err := os.WriteFile(got.Path, append(library, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Find()
	checkSentence(t, err, "changed or damaged", "cure setup")
	os.RemoveAll(dir)
	os.Mkdir(dir, 0o755)

	bad := set[0]
	bad.SHA256 = strings.Repeat("0", 64)
	_, err = setupFromWheels(ctx, dir, CPU, []wheel{bad}, new(bytes.Buffer))
	checkSentence(t, err, "SHA-256")
	bad = set[0]
	bad.Library = "some_plugin/other.so"
	_, err = setupFromWheels(ctx, dir, CPU, []wheel{bad}, new(bytes.Buffer))
	checkSentence(t, err, "holds no some_plugin/other.so")
	checkEmpty(t, dir)

	// a plugin that works outlives an attempt with one that does not
	if got, err = setupFromWheels(ctx, dir, CPU, set, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "some_plugin-1.0-py3-none-any.whl")
	makeZip(t, broken, entry{"some_plugin/plugin.so", []byte("text"), 0o755})
	fakePip(t, broken)
	bad = set[0]
	if bad.SHA256, err = fileSHA256(broken); err != nil {
		t.Fatal(err)
	}
	_, err = setupFromWheels(ctx, dir, CPU, []wheel{bad}, new(bytes.Buffer))
	checkSentence(t, err, "not a usable PJRT plugin")
	if found, err := Find(); err != nil || found.Path != got.Path || found.Package != got.Package {
		t.Errorf("found %+v, %v after a failed attempt", found, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPipFails(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	fakePip(t, "")
	_, err := pipDownload(context.Background(), dir, wheels[CPU][0])
	checkSentence(t, err, "no matching distribution")
	t.Setenv("PATH", t.TempDir())
	_, err = pipDownload(context.Background(), dir, wheels[CPU][0])
	checkSentence(t, err, "no Python with pip")
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "w.whl")
	for _, c := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"parent", []entry{{"nvidia/../../evil", []byte("x"), 0o644}}, "leads out"},
		{"dots inside", []entry{{"nvidia/a/../b", []byte("x"), 0o644}}, "leads out"},
		{"link", []entry{{"nvidia/link", []byte("/etc/passwd"), os.ModeSymlink | 0o777}}, "not a plain file"},
		{"good", []entry{{"nvidia/cu13/bin/ptxas", []byte("tool"), 0o755}, {"other/skipped", nil, 0o644}, {"/absolute", nil, 0o644}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			makeZip(t, file, c.entries...)
			out := t.TempDir()
			err := unpackTree(file, "nvidia/", out)
			if c.want != "" {
				checkSentence(t, err, c.want)
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "evil")); len(left) > 0 {
					t.Error("it was written nevertheless")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(out, "nvidia/cu13/bin/ptxas"))
			if err != nil || string(got) != "tool" {
				t.Errorf("got %q, %v", got, err)
			}
			if all, _ := filepath.Glob(filepath.Join(out, "*")); len(all) != 1 {
				t.Errorf("unpacked %q, want nvidia alone", all)
			}
		})
	}
	t.Run("no archive", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		checkSentence(t, unpackTree(file, "nvidia/", dir), "w.whl")
		checkSentence(t, unpackFile(file, "a", filepath.Join(dir, "b")), "w.whl")
	})
	t.Run("wrong checksum", func(t *testing.T) {
		makeZip(t, file, entry{"nvidia/a", bytes.Repeat([]byte("abc"), 1000), 0o644})
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content[60] ^= 0xff // inside the stored bytes
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		out := t.TempDir()
		checkSentence(t, unpackFile(file, "nvidia/a", filepath.Join(out, "a")), "zip")
		checkEmpty(t, out)
	})
}

type entry struct {
	name    string
	content []byte
	mode    os.FileMode
}

func makeZip(t *testing.T, path string, entries ...entry) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Store}
		header.SetMode(e.mode)
		w, err := z.CreateHeader(header)
		if err == nil {
			_, err = w.Write(e.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// fakePip puts a python3 on PATH whose pip downloads the given file, or finds nothing.
func fakePip(t *testing.T, file string) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
[ "$3" = --version ] && exit 0
[ -n "` + file + `" ] || { echo "ERROR: no matching distribution" >&2; exit 1; }
while [ "$1" != --dest ]; do shift; done
cp "` + file + `" "$2"
`
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// checkEmpty wants no file, hidden ones included, but remembered trials.
func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "trial-") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}
