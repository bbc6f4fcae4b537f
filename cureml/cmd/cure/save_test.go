package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cure/cureml/nn"
	"cure/data"
)

// TestEvalFiles checks what an evaluation leaves besides its report: card, images, state.
func TestEvalFiles(t *testing.T) {
	dir := workplace(t)
	args := "eval --arch resnet18 --width 2 --weights w.safetensors --data images.bin --records 2:8 --attack fgsm,pgd10 --eps 8/255 --steps 2 --rows 4 "
	o := cure(t, dir, strings.Fields(args+"--json a.json --card card.json --save adv.npz --state state")...)
	if strings.Contains(o.stderr, "warning") {
		t.Errorf("warnings: %s", o.stderr)
	}
	want := report(t, filepath.Join(dir, "a.json"))
	checkCard(t, filepath.Join(dir, "card.json"))
	checkNPZ(t, dir, want.RobustFlags)

	// A state file of a finished evaluation makes it return at once: passes do not grow.
	cure(t, dir, strings.Fields(args+"--json b.json --card card.md --save adv --state other --batch 3")...)
	cure(t, dir, strings.Fields(args+"--json c.json --save again.npz --state state --batch 3")...)
	for _, name := range []string{"b.json", "c.json"} {
		got := report(t, filepath.Join(dir, name))
		for i, a := range got.Attacks {
			if !slices.Equal(a.RobustFlags, want.Attacks[i].RobustFlags) || a.Forwards != want.Attacks[i].Forwards {
				t.Errorf("%s: %s: flags %v, %d forwards; want %v, %d", name, a.Name, a.RobustFlags, a.Forwards, want.Attacks[i].RobustFlags, want.Attacks[i].Forwards)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "card.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"# resnet18-w2", "records 2 to 7 of the test split of CIFAR-10", fmt.Sprintf("| pgd10 | | %.2f |", 100*want.Attacks[1].RobustAccuracy)} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the card lacks %q:\n%s", part, text)
		}
	}
	checkPictures(t, dir)
}

func checkCard(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"dataset": "cifar10", "architecture": "resnet18-w2", "eps": "8/255", "norm": "linf", "n": 6., "autoattack_acc": nil,
		"additional_data": false, "number_forward_passes": 1.,
	} {
		if got, ok := c[key]; !ok || got != want {
			t.Errorf("card: %s is %v, want %v", key, got, want)
		}
	}
	for _, key := range []string{"link", "name", "authors", "venue", "clean_acc", "reported", "unreliable", "footnote"} { // RobustBench's
		if _, ok := c[key]; !ok {
			t.Errorf("card: no %s", key)
		}
	}
	if len(c["weights_sha256"].(string)) != 64 {
		t.Errorf("card: weights %v", c["weights_sha256"])
	}
}

// checkNPZ reads the archive without the code that wrote it, and checks each image against its clean one.
func checkNPZ(t *testing.T, dir string, robust []bool) {
	t.Helper()
	archive, err := zip.OpenReader(filepath.Join(dir, "adv.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	arrays := map[string][]byte{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		header := int(binary.LittleEndian.Uint16(content[8:])) + 10
		if !bytes.HasPrefix(content, []byte("\x93NUMPY\x01\x00")) || header%64 != 0 || content[header-1] != '\n' {
			t.Errorf("%s: header %q", f.Name, content[:header])
		}
		arrays[f.Name+" "+string(bytes.TrimSpace(content[10:header]))] = content[header:]
	}
	adv := arrays["adv_pgd10.npy {'descr': '<f4', 'fortran_order': False, 'shape': (6, 32, 32, 3, ), }"]
	if len(adv) != 6*3072*4 || arrays["adv_fgsm.npy {'descr': '<f4', 'fortran_order': False, 'shape': (6, 32, 32, 3, ), }"] == nil {
		t.Fatalf("arrays %v", arrays)
	}
	set, err := data.Open(filepath.Join(dir, "images.bin"), "test")
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i := range 6 * 3072 {
		v := float64(math.Float32frombits(binary.LittleEndian.Uint32(adv[4*i:])))
		clean := float64(set.Images[2*3072+i]) / 255
		if !(v >= 0 && v <= 1) || math.Abs(v-clean) > 8./255+1e-6 {
			t.Fatalf("value %d is %g, clean %g", i, v, clean)
		}
		if math.Abs(v-clean) > 1e-6 {
			changed++
		}
	}
	if changed == 0 && slices.Contains(robust, true) {
		t.Error("no image was changed")
	}
}

func checkPictures(t *testing.T, dir string) {
	t.Helper()
	for _, attack := range []string{"fgsm", "pgd10"} {
		for record := 2; record < 8; record++ {
			f, err := os.Open(filepath.Join(dir, "adv", attack, fmt.Sprintf("%05d.png", record)))
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(f)
			f.Close()
			if err != nil || img.Bounds().Dx() != 32 || img.Bounds().Dy() != 32 {
				t.Errorf("%s %d: %v", attack, record, err)
			}
		}
	}
}

// TestAttackMatrix checks the matrix of two networks against their own evaluations, and what is refused.
func TestAttackMatrix(t *testing.T) {
	dir := workplace(t)
	other, err := nn.Init(network(t, 10).Arch, 2)
	if err != nil {
		t.Fatal(err)
	}
	save(t, other, filepath.Join(dir, "other.safetensors"))
	flags := "--arch resnet18 --width 2 --data images.bin --records 2:8 --attack fgsm --eps 8/255 "
	o := cure(t, dir, strings.Fields("attack --weights w.safetensors,other.safetensors --json m.json "+flags)...)
	text, err := os.ReadFile(filepath.Join(dir, "m.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		N       int
		Attacks []struct {
			Name     string
			Accuracy [][]float64
		}
	}
	if err := json.Unmarshal(text, &m); err != nil || m.N != 6 || len(m.Attacks) != 1 {
		t.Fatalf("matrix %s: %v", text, err)
	}
	for i, weights := range []string{"w.safetensors", "other.safetensors"} {
		cure(t, dir, strings.Fields("eval --json alone.json --weights "+weights+" "+flags)...)
		want := report(t, filepath.Join(dir, "alone.json")).RobustAccuracy
		if got := m.Attacks[0].Accuracy[i][i]; got != want {
			t.Errorf("%s: %g on the diagonal, alone %g", weights, got, want)
		}
		if !strings.Contains(o.stdout, weights) {
			t.Errorf("no %s in\n%s", weights, o.stdout)
		}
	}
	bad := command(dir, strings.Fields("attack --weights w.safetensors "+flags)...)
	if o := finish(t, bad); o.code != 2 || !strings.Contains(o.stderr, "want two or more") {
		t.Errorf("one network: code %d, %s", o.code, o.stderr)
	}
}
