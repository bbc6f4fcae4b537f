package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// maxIndex is the longest safetensors index that is read, in bytes.
const maxIndex = 16 << 20

// readIndex reads the shards that a safetensors index names, from the folder dir, and checks that each
// tensor lies where the index says.
func readIndex(r io.ReaderAt, size int64, dir string) (*Dict, error) {
	if size > maxIndex {
		return nil, fmt.Errorf("index of %d bytes, accepted are %d", size, maxIndex)
	}
	b := make([]byte, size)
	if err := readAt(r, b, 0); err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("index has no weight_map")
	}
	shards := slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
	all := &Dict{Meta: map[string]string{}}
	for _, shard := range shards {
		if filepath.Base(shard) != shard || !filepath.IsLocal(shard) {
			return nil, fmt.Errorf("index names shard %s, accepted are files in the folder of the index", brief(shard))
		}
		d, err := readShard(filepath.Join(dir, shard))
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", shard, err)
		}
		for _, name := range d.Names {
			if index.WeightMap[name] != shard {
				return nil, fmt.Errorf("shard %s holds tensor %s, which the index does not place there", shard, brief(name))
			}
			all.Set(name, d.Tensors[name])
		}
		maps.Copy(all.Meta, d.Meta)
	}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		if _, ok := all.Get(name); !ok {
			return nil, fmt.Errorf("shard %s lacks tensor %s", index.WeightMap[name], brief(name))
		}
	}
	return all, nil
}

func readShard(path string) (*Dict, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseSafetensors(f, info.Size())
}
