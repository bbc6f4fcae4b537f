package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestFailures: what is right on the command line and cannot be done ends with code 1 and one line.
func TestFailures(t *testing.T) {
	dir := workplace(t)
	save(t, network(t, 100), filepath.Join(dir, "hundred.safetensors"))
	for name, content := range map[string]string{"damaged.safetensors": "\xff\xff\xff\xff\x00\x00\x00\x00{}", "text.pt": "hello", "short.bin": "\x01\x02"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	eval := "eval --data images.bin --json out.json --width 2 "
	cases := []struct{ args, want string }{
		{eval + "--weights damaged.safetensors", "damaged.safetensors"},
		{eval + "--weights text.pt", "neither safetensors nor a file of torch.save"},
		{eval + "--weights w.safetensors --width 4", "the file holds resnet18 of width 2 with 10 classes, not resnet18 of width 4 with 10 classes"},
		{eval + "--weights w.safetensors --arch preactresnet18", "not preactresnet18 of width 2"},
		{eval + "--weights hundred.safetensors", "with 100 classes, not resnet18 of width 2 with 10 classes"},
		{eval + "--weights w.safetensors --data short.bin", "short.bin"},
		{"train --method natural --width 2 --batch 8 --data images.bin --out new --init damaged.safetensors", "damaged.safetensors"},
		{"train --method ard --width 2 --batch 8 --data images.bin --out new --teacher hundred.safetensors", "the robust teacher hundred.safetensors has 100 classes, the student 10"},
		{"train --method hat --width 2 --batch 8 --data images.bin --out new --natural-teacher hundred.safetensors", "the natural teacher hundred.safetensors has 100 classes, the student 10"},
		{"train --method iad-1 --width 2 --batch 8 --data images.bin --out new --teacher damaged.safetensors", "damaged.safetensors"},
		{"export text.pt --out new.safetensors", "neither safetensors nor a file of torch.save"},
		{"data info short.bin", "short.bin"},
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			wantFailure(t, finish(t, command(dir, strings.Fields(c.args)...)), 1, c.want)
		})
	}
	for _, name := range []string{"out.json", "new.safetensors", "new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

// TestFullDisk: where a result cannot be written there is one line, code 1 and no part of a file.
func TestFullDisk(t *testing.T) {
	dir := workplace(t)
	eval := strings.Fields("eval --width 2 --weights w.safetensors --data images.bin --records 0:2 --attack natural --json")
	t.Run("report", func(t *testing.T) { wantFullDisk(t, dir, 100, append(eval, "out.json")...) })
	t.Run("export", func(t *testing.T) {
		wantFullDisk(t, dir, 10000, "export", "w.safetensors", "--out", "copy.safetensors")
	})
	t.Run("run", func(t *testing.T) {
		wantFullDisk(t, dir, 10000, strings.Fields("train --method natural --width 2 --epochs 1 --batch 8 --data images.bin --eval-every 0 --out run")...)
		for _, name := range files(t, filepath.Join(dir, "run")) {
			if strings.Contains(name, "safetensors") {
				t.Errorf("a part of %s was left", name)
			}
		}
	})
	t.Run("device", func(t *testing.T) {
		o := finish(t, command(dir, append(eval, "/dev/full")...))
		o.stderr = strings.Replace(o.stderr, "clean: 100%\n", "", 1)
		wantFailure(t, o, 1, "no space left on device")
		if info, err := os.Stat("/dev/full"); err != nil || info.Mode().IsRegular() {
			t.Error("/dev/full was replaced")
		}
	})
	t.Run("standard output", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		defer full.Close()
		cmd := command(dir, "data", "list")
		cmd.Stdout = full
		wantFailure(t, finish(t, cmd), 1, "standard output: write /dev/stdout: no space left on device")
	})
}

func wantFullDisk(t *testing.T, dir string, limit int, args ...string) {
	t.Helper()
	before := files(t, dir)
	cmd := command(dir, args...)
	cmd.Env = append(cmd.Env, limitEnv+"="+strconv.Itoa(limit))
	o := finish(t, cmd)
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if last := lines[len(lines)-1]; o.code != 1 || !strings.HasPrefix(last, "cure: ") || !strings.Contains(last, "file too large") || strings.Count(o.stderr, "cure: ") != 1 {
		t.Errorf("exit code %d, %s", o.code, o.stderr)
	}
	if args[0] == "train" {
		return
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("files before: %v\nfiles after: %v", before, after)
	}
}
