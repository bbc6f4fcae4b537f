package weights

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShards: what is written in shards of any size and read through the index is what was written in one file, no shard
// is larger than asked for unless it is a single tensor, and a second export leaves no way to mix both.
func TestShards(t *testing.T) {
	d := &Dict{Meta: map[string]string{"format": "pt"}}
	for i, n := range []int{7, 1, 40, 3, 3, 12} {
		v := make([]float32, n)
		for k := range v {
			v[k] = float32(100*i + k)
		}
		d.Set(fmt.Sprintf("layer%d.weight", i), Float32s([]int{n}, v))
	}
	d.Set("steps", Int64s(nil, []int64{7}))
	dir := t.TempDir()
	whole, parts := filepath.Join(dir, "whole.safetensors"), filepath.Join(dir, "m.safetensors")
	if err := WriteSafetensors(whole, d); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		limit  int64
		shards int
	}{{1, 7}, {28, 6}, {64, 4}, {1000, 1}} {
		paths, err := WriteShards(parts, d, tc.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(paths) != tc.shards+1 || filepath.Base(paths[0]) != fmt.Sprintf("m-00001-of-%05d.safetensors", tc.shards) {
			t.Errorf("limit %d: got %q, want %d shards and an index", tc.limit, paths, tc.shards)
		}
		for _, path := range paths[:len(paths)-1] {
			shard, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for _, name := range shard.Names {
				size += len(shard.Tensors[name].Data)
			}
			if int64(size) > tc.limit && len(shard.Names) > 1 {
				t.Errorf("%s: %d bytes in %d tensors, want at most %d", path, size, len(shard.Names), tc.limit)
			}
		}
		back, err := Read(paths[len(paths)-1])
		if err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(dir, "again.safetensors")
		if err := WriteSafetensors(again, back); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(again); !bytes.Equal(got, want) {
			t.Errorf("limit %d: what came back is not what was written", tc.limit)
		}
	}
	for _, tc := range []struct {
		path  string
		d     *Dict
		limit int64
		want  string
	}{
		{filepath.Join(dir, "m.pt"), d, 10, "need a name that ends with .safetensors"},
		{parts, d, 0, "shards of 0 bytes: want 1 or more"},
		{parts, &Dict{}, 10, "there are no tensors"},
		{filepath.Join(dir, "no", "m.safetensors"), d, 10, "no such file"},
	} {
		if _, err := WriteShards(tc.path, tc.d, tc.limit); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s, %d: got %v, want an error with %q", tc.path, tc.limit, err, tc.want)
		}
	}
	if _, err := Read(filepath.Join(dir, "m"+IndexSuffix)); err != nil {
		t.Errorf("a refused export touched the one that was there: %v", err)
	}
}
