package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// entry is one tensor of a safetensors header; begin and end count from the first byte after the header.
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int64
}

// parseHeader reads the JSON of a safetensors file, key by key so that repeated names are seen.
func parseHeader(header []byte) (entries []entry, meta map[string]string, err error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("header is not valid UTF-8")
	}
	p := headerParser{json.NewDecoder(bytes.NewReader(header))}
	p.dec.UseNumber()
	if err := p.delim('{'); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	seen := map[string]bool{}
	for p.dec.More() {
		name, err := p.str()
		if err != nil {
			return nil, nil, fmt.Errorf("header: %w", err)
		}
		if seen[name] {
			return nil, nil, fmt.Errorf("duplicate name %s", brief(name))
		}
		seen[name] = true
		if name == "__metadata__" {
			if meta, err = p.metadata(); err != nil {
				return nil, nil, fmt.Errorf("__metadata__: %w", err)
			}
			continue
		}
		e, err := p.entry()
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", brief(name), err)
		}
		e.name = name
		entries = append(entries, e)
	}
	if err := p.delim('}'); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, nil, errors.New("header: more follows the closing brace")
	}
	return entries, meta, nil
}

type headerParser struct{ dec *json.Decoder }

// token returns the next JSON token, with the decoder's errors in words.
func (p headerParser) token() (json.Token, error) {
	tok, err := p.dec.Token()
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, errors.New("invalid JSON: ends early")
	}
	if err != nil {
		return nil, fmt.Errorf("invalid JSON at byte %d: %w", p.dec.InputOffset(), err)
	}
	return tok, nil
}

func (p headerParser) delim(want json.Delim) error {
	tok, err := p.token()
	if err != nil {
		return err
	}
	if tok != want {
		return fmt.Errorf("want %q at byte %d, got %s", want.String(), p.dec.InputOffset(), brief(fmt.Sprint(tok)))
	}
	return nil
}

func (p headerParser) str() (string, error) {
	tok, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("want a string at byte %d, got %s", p.dec.InputOffset(), brief(fmt.Sprint(tok)))
	}
	return s, nil
}

// ints reads an array of whole numbers from 0 to the largest int64.
func (p headerParser) ints() ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	out := []int64{}
	for p.dec.More() {
		tok, err := p.token()
		if err != nil {
			return nil, err
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fmt.Errorf("want a number, got %s", brief(fmt.Sprint(tok)))
		}
		n, err := strconv.ParseInt(string(num), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s is not a whole number from 0 to %d", brief(string(num)), math.MaxInt64)
		}
		out = append(out, n)
	}
	return out, p.delim(']')
}

func (p headerParser) metadata() (map[string]string, error) {
	if err := p.delim('{'); err != nil {
		return nil, err
	}
	meta := map[string]string{}
	for p.dec.More() {
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if _, seen := meta[key]; seen {
			return nil, fmt.Errorf("duplicate key %s", brief(key))
		}
		if meta[key], err = p.str(); err != nil {
			return nil, err
		}
	}
	return meta, p.delim('}')
}

// entry reads {"dtype": ..., "shape": [...], "data_offsets": [begin, end]} and checks that they agree.
func (p headerParser) entry() (e entry, err error) {
	if err := p.delim('{'); err != nil {
		return e, err
	}
	var offsets []int64
	seen := map[string]bool{}
	for p.dec.More() {
		key, err := p.str()
		if err != nil {
			return e, err
		}
		if seen[key] {
			return e, fmt.Errorf("duplicate key %s", brief(key))
		}
		seen[key] = true
		switch key {
		case "dtype":
			var s string
			s, err = p.str()
			e.dtype = DType(s)
		case "shape":
			var dims []int64
			dims, err = p.ints()
			e.shape = make([]int, len(dims))
			for i, d := range dims {
				if d > math.MaxInt {
					return e, fmt.Errorf("shape: dimension %d overflows", d)
				}
				e.shape[i] = int(d)
			}
		case "data_offsets":
			offsets, err = p.ints()
			if err == nil && len(offsets) != 2 {
				err = fmt.Errorf("want 2 numbers, got %d", len(offsets))
			}
		default:
			return e, fmt.Errorf("unknown key %s, accepted are dtype, shape, data_offsets", brief(key))
		}
		if err != nil {
			return e, fmt.Errorf("%s: %w", key, err)
		}
	}
	if err := p.delim('}'); err != nil {
		return e, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return e, fmt.Errorf("%s is missing", key)
		}
	}
	e.begin, e.end = offsets[0], offsets[1]
	want, err := byteSize(e.dtype, e.shape)
	if err != nil {
		return e, err
	}
	if e.begin > e.end {
		return e, fmt.Errorf("data_offsets [%d, %d] run backwards", e.begin, e.end)
	}
	if e.end-e.begin != int64(want) {
		return e, fmt.Errorf("data_offsets [%d, %d] span %d bytes, shape %s of %s needs %d",
			e.begin, e.end, e.end-e.begin, briefInts(e.shape), e.dtype, want)
	}
	return e, nil
}
