package weights

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// maxHeader is the longest header that the official safetensors library accepts.
const maxHeader = 100_000_000

// ReadSafetensors reads a safetensors file of size bytes: 8 bytes with the length of the header, the header
// in JSON, the tensors' bytes. Tensors must fill the rest of the file without holes or overlaps, as the
// official library demands. Names come in the order of the header.
func ReadSafetensors(r io.ReaderAt, size int64) (*Dict, error) {
	d, err := parseSafetensors(r, size)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	return d, nil
}

func parseSafetensors(r io.ReaderAt, size int64) (*Dict, error) {
	if size < 8 {
		return nil, fmt.Errorf("safetensors file of %d bytes is shorter than its 8-byte header length", size)
	}
	var length [8]byte
	if err := readAt(r, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > uint64(size-8) {
		return nil, fmt.Errorf("safetensors header of %d bytes is longer than the %d bytes that follow", n, size-8)
	}
	if n > maxHeader {
		return nil, fmt.Errorf("safetensors header of %d bytes is longer than the accepted %d", n, maxHeader)
	}
	header := make([]byte, n)
	if err := readAt(r, header, 8); err != nil {
		return nil, err
	}
	entries, meta, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("safetensors %w", err)
	}
	start := 8 + int64(n)
	if err := checkLayout(entries, size-start); err != nil {
		return nil, fmt.Errorf("safetensors %w", err)
	}
	d := &Dict{Meta: map[string]string{}}
	if meta != nil {
		d.Meta = meta
	}
	for _, e := range entries {
		t := Tensor{DType: e.dtype, Shape: e.shape, Data: make([]byte, e.end-e.begin)}
		if err := readAt(r, t.Data, start+e.begin); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", brief(e.name), err)
		}
		d.Set(e.name, t)
	}
	return d, nil
}

// checkLayout reports tensors that leave the n bytes of data, overlap, or leave bytes unused.
func checkLayout(entries []entry, n int64) error {
	byOffset := slices.Clone(entries)
	slices.SortStableFunc(byOffset, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	var end int64
	for i, e := range byOffset {
		switch {
		case e.end > n:
			return fmt.Errorf("tensor %s: data_offsets [%d, %d] lie outside the %d bytes of data",
				brief(e.name), e.begin, e.end, n)
		case e.begin < end:
			return fmt.Errorf("tensor %s: data_offsets [%d, %d] overlap tensor %s, which ends at %d",
				brief(e.name), e.begin, e.end, brief(byOffset[i-1].name), end)
		case e.begin > end:
			return fmt.Errorf("tensor %s: data_offsets [%d, %d] leave a hole, the tensor before ends at %d",
				brief(e.name), e.begin, e.end, end)
		}
		end = e.end
	}
	if end < n {
		return fmt.Errorf("file has %d trailing bytes: tensors end at %d of %d bytes of data", n-end, end, n)
	}
	return nil
}

// readAt fills b from offset off or says how the file ended too early.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF || err == nil {
		return fmt.Errorf("file ends at byte %d, %d bytes early", off+int64(n), len(b)-n)
	}
	return err
}
