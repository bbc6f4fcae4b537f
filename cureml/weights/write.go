package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"
)

// WriteSafetensors writes d to path in the safetensors format, complete or not at all: a temporary file in
// the same folder is written, synced and renamed.
//
// Tensors are ordered by element type (widest first) and name, metadata by key, as in the official library;
// equal contents give equal bytes whatever the order of d.Names.
func WriteSafetensors(path string, d *Dict) error {
	names, err := writeOrder(d)
	if err != nil {
		return fmt.Errorf("weights: %s: %w", path, err)
	}
	header, err := encodeHeader(d, names)
	if err != nil {
		return fmt.Errorf("weights: %s: %w", path, err)
	}
	err = writeAtomic(path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, name := range names {
			if _, err := w.Write(d.Tensors[name].Data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if pathErr, ok := err.(*os.PathError); ok {
			err = pathErr.Err // it names the temporary file
		}
		return fmt.Errorf("weights: writing %s: %w", path, err)
	}
	return nil
}

// writeOrder checks d and returns its names in the order of the file.
func writeOrder(d *Dict) ([]string, error) {
	names := slices.Clone(d.Names)
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		t, ok := d.Tensors[name]
		switch {
		case seen[name]:
			return nil, fmt.Errorf("duplicate name %s", brief(name))
		case !ok:
			return nil, fmt.Errorf("name %s has no tensor", brief(name))
		case name == "__metadata__" || !utf8.ValidString(name):
			return nil, fmt.Errorf("%s cannot name a tensor", brief(name))
		}
		seen[name] = true
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", brief(name), err)
		}
	}
	if len(d.Tensors) != len(names) {
		return nil, fmt.Errorf("%d tensors but %d names", len(d.Tensors), len(names))
	}
	for key, value := range d.Meta {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("metadata %s is not valid UTF-8", brief(key))
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(d.Tensors[a].DType.rank(), d.Tensors[b].DType.rank()), cmp.Compare(a, b))
	})
	return names, nil
}

// encodeHeader returns the length and the JSON header, padded with spaces to a multiple of 8 bytes.
func encodeHeader(d *Dict, names []string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	sep := "{"
	field := func(key string, value any) error {
		b.WriteString(sep)
		sep = ","
		if err := putJSON(&b, key); err != nil {
			return err
		}
		b.WriteByte(':')
		return putJSON(&b, value)
	}
	if len(d.Meta) > 0 {
		if err := field("__metadata__", d.Meta); err != nil {
			return nil, err
		}
	}
	end := 0
	for _, name := range names {
		t := d.Tensors[name]
		info := struct {
			DType   DType  `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{t.DType, t.Shape, [2]int{end, end + len(t.Data)}}
		if info.Shape == nil {
			info.Shape = []int{}
		}
		if err := field(name, info); err != nil {
			return nil, err
		}
		end += len(t.Data)
	}
	if sep == "{" {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, errors.New("too many tensors: the header would be longer than readers accept")
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

// putJSON appends v without a newline and without escaping <, > and &, which other writers leave alone.
func putJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}
