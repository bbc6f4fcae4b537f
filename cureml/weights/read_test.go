package weights

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// want is one tensor as PyTorch printed it; values that JSON cannot hold ("inf") are strings.
type want struct {
	Name   string
	DType  DType
	Shape  []int
	Values []any
}

func expected(t testing.TB) map[string][]want {
	t.Helper()
	b, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ Files map[string][]want }
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return e.Files
}

// floats widens any tensor to float64 by way of the methods under test.
func floats(t *testing.T, x Tensor) []float64 {
	t.Helper()
	var out []float64
	switch x.DType {
	case F64, F32, F16, BF16:
		v, err := x.Float32()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v {
			out = append(out, float64(f))
		}
	default:
		v, err := x.Int64()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range v {
			out = append(out, float64(i))
		}
	}
	return out
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	switch v := v.(type) {
	case float64:
		return v
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	t.Fatalf("value %v of type %T", v, v)
	return 0
}

// TestReadPyTorch compares every file that PyTorch made with the values PyTorch printed.
func TestReadPyTorch(t *testing.T) {
	for file, wants := range expected(t) {
		t.Run(file, func(t *testing.T) {
			d, err := Read(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Names) != len(wants) || len(d.Tensors) != len(wants) {
				t.Fatalf("got %d tensors %q, want %d", len(d.Names), d.Names, len(wants))
			}
			inOrder := strings.HasSuffix(file, ".pt") // safetensors sorts
			for i, w := range wants {
				if inOrder && d.Names[i] != w.Name {
					t.Errorf("name %d: got %q, want %q", i, d.Names[i], w.Name)
				}
				x, ok := d.Get(w.Name)
				if !ok || x.DType != w.DType || !slices.Equal(x.Shape, w.Shape) || x.Len() != len(w.Values) {
					t.Errorf("%s: got %v %s %v, want %s %v", w.Name, ok, x.DType, x.Shape, w.DType, w.Shape)
					continue
				}
				for j, got := range floats(t, x) {
					v := number(t, w.Values[j])
					if x.DType == F64 {
						v = float64(float32(v))
					}
					if math.Float64bits(got) != math.Float64bits(v) {
						t.Errorf("%s[%d]: got %v, want %v", w.Name, j, got, v)
					}
				}
			}
		})
	}
}

func TestReadByContent(t *testing.T) {
	dir := t.TempDir()
	for from, to := range map[string]string{"official.safetensors": "a.pt", "zip.pt": "b.safetensors", "legacy.pt": "c"} {
		b, err := os.ReadFile(filepath.Join("testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, to)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if d, err := Read(path); err != nil || len(d.Names) != 8 {
			t.Errorf("%s under the name %s: %v", from, to, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct{ path, want string }{
		{"testdata/evil.pt", `names the global "posix.system"`},
		{"testdata/evil_legacy.pt", `names the global "posix.system"`},
		{"testdata/evil_protocol4.pt", `names the global "builtins.eval"`},
		{"testdata/whole_module.pt", `names the global "torch.nn.modules.container.Sequential"`},
		{"testdata/single_tensor.pt", "one tensor, want a dictionary"},
		{"testdata/no_tensors.pt", "holds no tensors"},
		{"testdata/torchscript.pt", "TorchScript"},
		{"testdata/plain.pkl", "neither safetensors nor a file of torch.save"},
		{"testdata", "not a regular file"},
		{"testdata/none.pt", "no such file"},
		{write("empty.pt", ""), "empty"},
		{write("page.pt", "<!DOCTYPE html><html>"), "neither safetensors"},
		{write("short.safetensors", "abc"), "3 bytes is shorter"},
		{write("page.safetensors", "<!DOCTYPE html><html>"), "longer than the 13 bytes that follow"},
	} {
		d, err := Read(tc.path)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "weights: "+tc.path+": ") {
			t.Errorf("%s: got %v, want an error with %q", tc.path, err, tc.want)
		}
		if d != nil || err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got a dict or an error of several lines: %v", tc.path, err)
		}
	}
	if _, err := Read("testdata/none.pt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v does not match fs.ErrNotExist", err)
	}
}

func TestReadIndex(t *testing.T) {
	dir := t.TempDir()
	a, b := &Dict{}, &Dict{}
	a.Set("conv.weight", Float32s([]int{2}, []float32{1, 2}))
	b.Set("steps", Int64s(nil, []int64{7}))
	for name, d := range map[string]*Dict{"m-1.safetensors": a, "m-2.safetensors": b} {
		if err := WriteSafetensors(filepath.Join(dir, name), d); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "m.safetensors.index.json")
	for _, tc := range []struct{ index, want string }{
		{`{"metadata":{"total_size":16},"weight_map":{"conv.weight":"m-1.safetensors","steps":"m-2.safetensors"}}`, ""},
		{`{"weight_map":{"conv.weight":"m-1.safetensors","steps":"m-1.safetensors"}}`, `lacks tensor "steps"`},
		{`{"weight_map":{"conv.weight":"m-2.safetensors"}}`, `does not place there`},
		{`{"weight_map":{"conv.weight":"../m-1.safetensors"}}`, "accepted are files in the folder"},
		{`{"weight_map":{"conv.weight":".."}}`, "accepted are files in the folder"},
		{`{"weight_map":{"conv.weight":"m-3.safetensors"}}`, "no such file"},
		{`{"weight_map":{}}`, "no weight_map"},
		{`{"weight_map":`, "unexpected end"},
	} {
		if err := os.WriteFile(path, []byte(tc.index), 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := Read(path)
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want an error with %q", tc.index, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.Names, []string{"conv.weight", "steps"}) {
			t.Errorf("got names %q", d.Names)
		}
	}
}
