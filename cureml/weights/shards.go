package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// IndexSuffix ends the name of a safetensors index, as Hugging Face's libraries write it.
const IndexSuffix = ".safetensors.index.json"

// WriteShards writes d as safetensors files of at most limit bytes of tensors each, and an index that names them. path is
// where one file would go, NAME.safetensors: the shards are NAME-00001-of-00003.safetensors and so on, the index, which
// [Read] reads, is NAME.safetensors.index.json. Tensors are in the order of [WriteSafetensors]; one that is larger than limit
// has a shard of its own. It returns the paths, the index last.
//
// Shards come before the index, and an index of that name that was there is removed first: an index never names shards of
// another export.
func WriteShards(path string, d *Dict, limit int64) ([]string, error) {
	base, ok := strings.CutSuffix(path, ".safetensors")
	if !ok {
		return nil, fmt.Errorf("weights: %s: shards need a name that ends with .safetensors", path)
	}
	if limit < 1 {
		return nil, fmt.Errorf("weights: shards of %d bytes: want 1 or more", limit)
	}
	names, err := writeOrder(d)
	if err == nil && len(names) == 0 {
		err = errors.New("there are no tensors to write")
	}
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	shards, total := split(d, names, limit)
	index := struct {
		Metadata  map[string]int64  `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}{map[string]int64{"total_size": total}, map[string]string{}}
	if err := os.Remove(base + IndexSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("weights: %w", err)
	}
	var paths []string
	for i, shard := range shards {
		file := fmt.Sprintf("%s-%05d-of-%05d.safetensors", base, i+1, len(shards))
		if err := WriteSafetensors(file, shard); err != nil {
			return nil, err
		}
		paths = append(paths, file)
		for _, name := range shard.Names {
			index.WeightMap[name] = filepath.Base(file)
		}
	}
	text, err := json.MarshalIndent(index, "", "  ")
	if err == nil {
		err = writeAtomic(base+IndexSuffix, func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err })
	}
	if err != nil {
		return nil, fmt.Errorf("weights: writing %s: %w", base+IndexSuffix, err)
	}
	return append(paths, base+IndexSuffix), nil
}

// split fills one shard after the other; total is the size of all tensors in bytes.
func split(d *Dict, names []string, limit int64) (shards []*Dict, total int64) {
	var size int64
	for _, name := range names {
		t := d.Tensors[name]
		n := int64(len(t.Data))
		if shards == nil || size > 0 && size+n > limit {
			shards, size = append(shards, &Dict{Meta: d.Meta}), 0
		}
		shards[len(shards)-1].Set(name, t)
		size += n
		total += n
	}
	return shards, total
}
