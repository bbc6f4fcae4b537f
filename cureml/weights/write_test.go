package weights

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func seed(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sameTensors(a, b *Dict) bool {
	return maps.EqualFunc(a.Tensors, b.Tensors, func(x, y Tensor) bool {
		return x.DType == y.DType && slices.Equal(x.Shape, y.Shape) && bytes.Equal(x.Data, y.Data)
	})
}

// roundTrip writes d in memory and reads it back.
func roundTrip(t *testing.T, d *Dict) {
	t.Helper()
	names, err := writeOrder(d)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	b, err := encodeHeader(d, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b = append(b, d.Tensors[name].Data...)
	}
	back, err := readBytes(b)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	if !sameTensors(d, back) || !maps.Equal(d.Meta, back.Meta) {
		t.Fatal("tensors changed in a round trip")
	}
}

// TestWriteGolden writes what the official library wrote and compares every byte. That the library and
// load_state_dict read these files is therefore certain.
func TestWriteGolden(t *testing.T) {
	for _, name := range []string{"official.safetensors", "official_types.safetensors"} {
		d, err := Read(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		// Order of names must not matter.
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(d.Names), func(i, j int) { d.Names[i], d.Names[j] = d.Names[j], d.Names[i] })
		path := filepath.Join(t.TempDir(), name)
		if err := WriteSafetensors(path, d); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := seed(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%q, want\n%q", name, got, want)
		}
	}
}

// TestWriteFromPickle takes the tensors from the .pt file and must reach the official library's bytes too.
func TestWriteFromPickle(t *testing.T) {
	d, err := Read("testdata/state_dict.pt")
	if err != nil {
		t.Fatal(err)
	}
	p := Peel(d)
	p.Meta = map[string]string{"format": "pt"}
	path := filepath.Join(t.TempDir(), "out.safetensors")
	if err := WriteSafetensors(path, p); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, seed(t, "official.safetensors")) {
		t.Error("bytes differ from the official library's")
	}
}

func TestWriteNamesAndMeta(t *testing.T) {
	d := &Dict{Meta: map[string]string{"z": "1", "a": "<&>\"\\\n", "": "é"}}
	d.Set("<a>&\u2028\"quoted\"\t", Float32s([]int{0, 2}, nil))
	d.Set("", Int64s(nil, []int64{-1}))
	d.Set("nil shape", Tensor{U8, nil, []byte{1}})
	roundTrip(t, d)
	roundTrip(t, &Dict{})
}

func TestWriteRefuses(t *testing.T) {
	one := Int64s(nil, []int64{1})
	for _, tc := range []struct {
		d    Dict
		want string
	}{
		{Dict{Names: []string{"a", "a"}, Tensors: map[string]Tensor{"a": one}}, `duplicate name "a"`},
		{Dict{Names: []string{"a"}}, `name "a" has no tensor`},
		{Dict{Tensors: map[string]Tensor{"a": one}}, "1 tensors but 0 names"},
		{Dict{Names: []string{"__metadata__"}, Tensors: map[string]Tensor{"__metadata__": one}}, "cannot name a tensor"},
		{Dict{Names: []string{"\xff"}, Tensors: map[string]Tensor{"\xff": one}}, "cannot name a tensor"},
		{Dict{Names: []string{"a"}, Tensors: map[string]Tensor{"a": {F32, []int{2}, make([]byte, 4)}}}, `tensor "a": shape [2] of F32 needs 8 bytes`},
		{Dict{Meta: map[string]string{"a": "\xff"}}, `metadata "a" is not valid UTF-8`},
	} {
		dir := t.TempDir()
		err := WriteSafetensors(filepath.Join(dir, "x.safetensors"), &tc.d)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error with %q", err, tc.want)
		}
		wantFiles(t, dir)
	}
}

// wantFiles checks that dir holds these files and nothing else, hidden ones included.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

// TestWriteAtomic fails half-way and checks that the old file stays and nothing new does.
func TestWriteAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w")
	write := func(s string, fail error) error {
		return writeAtomic(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, s); err != nil {
				return err
			}
			return fail
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	if err := write(strings.Repeat("new", 1<<20), syscall.ENOSPC); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	wantFiles(t, dir, "w")
	if b, err := os.ReadFile(path); err != nil || string(b) != "old" {
		t.Errorf("old file: %q %v", b, err)
	}
	if err := write("new", nil); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new" {
		t.Errorf("new file: %q %v", b, err)
	}
	// A file left by a killed process is in nobody's way.
	left, err := createBeside(path)
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	if err := write("newer", nil); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, filepath.Base(left.Name()), "w")
}

func TestWriteNowhere(t *testing.T) {
	dir := t.TempDir()
	if err := WriteSafetensors(filepath.Join(dir, "none", "w"), &Dict{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing folder: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteSafetensors(filepath.Join(dir, "folder"), &Dict{}); err == nil {
		t.Error("a folder was overwritten")
	}
	wantFiles(t, dir, "folder")
}
