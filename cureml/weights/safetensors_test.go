package weights

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// file builds a safetensors file of a header and n bytes of data.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func readBytes(b []byte) (*Dict, error) { return ReadSafetensors(bytes.NewReader(b), int64(len(b))) }

func TestSafetensorsAccepts(t *testing.T) {
	for name, b := range map[string][]byte{
		"no tensors":       file(`{}`, 0),
		"spaces":           file(`{ "a" : {"shape":[2],"dtype":"F32","data_offsets":[0,8]} }   `, 8),
		"reversed offsets": file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[3,4]},"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, 4),
		"empty tensors":    file(`{"a":{"dtype":"F32","shape":[0,1000000],"data_offsets":[4,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"c":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 4),
	} {
		if _, err := readBytes(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSafetensorsRefuses(t *testing.T) {
	one := func(fields string) string { return `{"conv1":{` + fields + `}}` }
	two := func(a, b string) string {
		return `{"a":{"dtype":"U8","shape":[4],"data_offsets":[` + a + `]},"b":{"dtype":"U8","shape":[4],"data_offsets":[` + b + `]}}`
	}
	long := binary.LittleEndian.AppendUint64(nil, 1<<63)
	for _, tc := range []struct {
		name string
		b    []byte
		want string
	}{
		{"short", []byte("1234567"), "7 bytes is shorter than its 8-byte header length"},
		{"header beyond the file", append(binary.LittleEndian.AppendUint64(nil, 100), '{', '}'), "header of 100 bytes is longer than the 2 bytes"},
		{"header of 2^63", append(long, '{', '}'), "header of 9223372036854775808 bytes is longer"},
		{"empty header", file("", 0), "invalid JSON: ends early"},
		{"not JSON", file("{conv1: 3}", 0), "invalid JSON at byte"},
		{"cut JSON", file(`{"a":{"dtype":"F32"`, 0), "invalid JSON: ends early"},
		{"not UTF-8", file("{\"\xff\":1}", 0), "not valid UTF-8"},
		{"an array", file(`[]`, 0), `want "{"`},
		{"two objects", file(`{}{}`, 0), "more follows the closing brace"},
		{"tensor no object", file(`{"conv1":3}`, 0), `tensor "conv1": want "{"`},
		{"tensor null", file(`{"conv1":null}`, 0), `tensor "conv1": want "{"`},
		{"duplicate name", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `duplicate name "a"`},
		{"duplicate key", file(one(`"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]`), 1), `duplicate key "dtype"`},
		{"unknown key", file(one(`"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1`), 1), `tensor "conv1": unknown key "x"`},
		{"missing shape", file(one(`"dtype":"U8","data_offsets":[0,1]`), 1), `tensor "conv1": shape is missing`},
		{"missing offsets", file(one(`"dtype":"U8","shape":[1]`), 1), `tensor "conv1": data_offsets is missing`},
		{"unknown dtype", file(one(`"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]`), 1), `tensor "conv1": unknown element type "F8_E4M3", accepted are I64, F64`},
		{"dtype number", file(one(`"dtype":1,"shape":[1],"data_offsets":[0,1]`), 1), `tensor "conv1": dtype: want a string`},
		{"negative dim", file(one(`"dtype":"U8","shape":[-1],"data_offsets":[0,1]`), 1), `tensor "conv1": shape: "-1" is not a whole number`},
		{"fractional dim", file(one(`"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`), 1), `"1.0" is not a whole number`},
		{"huge dim", file(one(`"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]`), 1), `"9223372036854775808" is not a whole number`},
		{"string dim", file(one(`"dtype":"U8","shape":["1"],"data_offsets":[0,1]`), 1), `want a number`},
		{"shape overflow", file(one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`), 0), `tensor "conv1": shape [4294967296 4294967296] of F32 overflows`},
		{"overflow by the element", file(one(`"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]`), 0), `overflows`},
		{"wrong size", file(one(`"dtype":"F32","shape":[2,3],"data_offsets":[0,12]`), 12), `tensor "conv1": data_offsets [0, 12] span 12 bytes, shape [2 3] of F32 needs 24`},
		{"backwards", file(one(`"dtype":"F32","shape":[2],"data_offsets":[8,0]`), 8), `tensor "conv1": data_offsets [8, 0] run backwards`},
		{"three offsets", file(one(`"dtype":"U8","shape":[1],"data_offsets":[0,1,2]`), 1), `data_offsets: want 2 numbers, got 3`},
		{"negative offset", file(one(`"dtype":"U8","shape":[1],"data_offsets":[-1,0]`), 1), `data_offsets: "-1" is not a whole number`},
		{"outside", file(one(`"dtype":"F32","shape":[2],"data_offsets":[0,8]`), 7), `tensor "conv1": data_offsets [0, 8] lie outside the 7 bytes of data`},
		{"overlap", file(two("0,4", "2,6"), 6), `tensor "b": data_offsets [2, 6] overlap tensor "a", which ends at 4`},
		{"same place", file(two("0,4", "0,4"), 4), `tensor "b": data_offsets [0, 4] overlap tensor "a", which ends at 4`},
		{"hole", file(two("0,4", "5,9"), 9), `tensor "b": data_offsets [5, 9] leave a hole, the tensor before ends at 4`},
		{"hole at the start", file(two("1,5", "5,9"), 9), `tensor "a": data_offsets [1, 5] leave a hole, the tensor before ends at 0`},
		{"trailing bytes", file(two("0,4", "4,8"), 11), `3 trailing bytes: tensors end at 8 of 11`},
		{"metadata number", file(`{"__metadata__":{"a":1}}`, 0), `__metadata__: want a string`},
		{"metadata twice", file(`{"__metadata__":{"a":"1","a":"2"}}`, 0), `__metadata__: duplicate key "a"`},
		{"long name", file(`{"`+strings.Repeat("n", 5000)+`":3}`, 0), strings.Repeat("n", 100) + `"...`},
	} {
		d, err := readBytes(tc.b)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "weights: ") {
			t.Errorf("%s: got %v, want an error with %s", tc.name, err, tc.want)
			continue
		}
		if d != nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%s: got a dict or a message that is not one short line: %v", tc.name, err)
		}
	}
}

// TestSafetensorsSizeLie passes a size beyond the data, as for a file cut while it is read.
func TestSafetensorsSizeLie(t *testing.T) {
	b := file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, 8)
	_, err := ReadSafetensors(bytes.NewReader(b[:len(b)-3]), int64(len(b)))
	if err == nil || !strings.Contains(err.Error(), "3 bytes early") {
		t.Errorf("got %v", err)
	}
}

// FuzzSafetensors checks that any bytes give an error or a dict that survives a round trip.
func FuzzSafetensors(f *testing.F) {
	for _, name := range []string{"official.safetensors", "official_types.safetensors"} {
		f.Add(seed(f, name))
	}
	f.Add(file(`{}`, 0))
	f.Add(file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readBytes(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %v", err)
			}
			return
		}
		roundTrip(t, d)
	})
}
