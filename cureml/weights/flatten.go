package weights

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/nlpodyssey/gopickle/types"
)

// Limits on the walk through nested dictionaries: a pickle can share one dictionary among many parents, so
// a small file can describe an endless tree.
const (
	maxDepth   = 16
	maxEntries = 1 << 17
	maxName    = 4096
)

// repeat bounds the bytes of all tensors together: views that share or repeat a storage may make up to this
// multiple of the file, plus slack for tiny files.
const repeat, slack = 16, 1 << 20

// flattener gathers the tensors of an unpickled checkpoint into a Dict, joining nested keys with dots.
type flattener struct {
	dict    *Dict
	load    func(storage) ([]byte, error)
	budget  int64
	entries int
}

// flatten turns the object v of a torch.save file of size bytes into a Dict. load returns the bytes of a
// storage. Lists, numbers and texts are left out.
func flatten(v any, size int64, load func(storage) ([]byte, error)) (*Dict, error) {
	f := flattener{dict: &Dict{Meta: map[string]string{}}, load: load, budget: repeat*size + slack}
	switch v.(type) {
	case *types.Dict, *types.OrderedDict:
	case view:
		return nil, errors.New("file holds one tensor, want a dictionary of named tensors")
	default:
		return nil, errors.New("file holds no dictionary of named tensors")
	}
	if err := f.walk(v, "", 0); err != nil {
		return nil, err
	}
	if len(f.dict.Names) == 0 {
		return nil, errors.New("file holds no tensors")
	}
	return f.dict, nil
}

func (f *flattener) walk(v any, name string, depth int) error {
	switch v := v.(type) {
	case view:
		return f.add(name, v)
	case *types.Dict:
		for _, e := range *v {
			if err := f.child(e.Key, e.Value, name, depth); err != nil {
				return err
			}
		}
	case *types.OrderedDict:
		for e := v.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			if err := f.child(entry.Key, entry.Value, name, depth); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	f.dict.groups = append(f.dict.groups, name)
	return nil
}

// child walks on to one value of the dictionary called parent.
func (f *flattener) child(key, value any, parent string, depth int) error {
	if f.entries++; f.entries > maxEntries {
		return fmt.Errorf("file has more than %d entries", maxEntries)
	}
	if depth == maxDepth {
		return fmt.Errorf("dictionaries nest deeper than %d levels at %s", maxDepth, brief(parent))
	}
	var name string
	switch k := key.(type) {
	case string:
		name = k
	case int:
		name = strconv.Itoa(k)
	default:
		return nil
	}
	if parent != "" {
		name = parent + "." + name
	}
	if len(name) > maxName {
		return fmt.Errorf("name %s is longer than %d bytes", brief(name), maxName)
	}
	return f.walk(value, name, depth+1)
}

func (f *flattener) add(name string, v view) error {
	if _, seen := f.dict.Tensors[name]; seen {
		return fmt.Errorf("duplicate name %s", brief(name))
	}
	if err := v.checkBounds(); err != nil {
		return fmt.Errorf("tensor %s: %w", brief(name), err)
	}
	data, err := f.load(v.storage)
	if err != nil {
		return fmt.Errorf("tensor %s: %w", brief(name), err)
	}
	t, err := v.contiguous(data, &f.budget)
	if err != nil {
		return fmt.Errorf("tensor %s: %w", brief(name), err)
	}
	f.dict.Set(name, t)
	return nil
}
