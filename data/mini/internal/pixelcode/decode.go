package pixelcode

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	magic      = "CUREPIX1"
	maxChunks  = 64
	maxRecords = 10000 // of one chunk: the size of an official CIFAR-10 batch
	tableLen   = 3 * classes * weights * 2
	entryLen   = 4 + 4 + sha256.Size
)

// Archive is an opened archive; its chunks are decoded on demand and may be decoded concurrently.
type Archive struct {
	weights weightTable
	chunks  []chunk
}

type chunk struct {
	records int
	sum     []byte
	payload []byte
}

// Open reads the index of an archive and keeps referring to b.
func Open(b []byte) (*Archive, error) {
	head := len(magic) + 4 + tableLen
	if len(b) < head || !bytes.HasPrefix(b, []byte(magic)) {
		return nil, fmt.Errorf("pixelcode: not an archive: want %d bytes or more that begin with %q", head, magic)
	}
	n := binary.LittleEndian.Uint32(b[len(magic):])
	if n == 0 || n > maxChunks {
		return nil, fmt.Errorf("pixelcode: offset %d: %d chunks, want 1 to %d", len(magic), n, maxChunks)
	}
	a := &Archive{chunks: make([]chunk, n)}
	table := b[len(magic)+4 : head]
	for ch := range a.weights {
		for k := range a.weights[ch] {
			for i := range a.weights[ch][k] {
				a.weights[ch][k][i] = int32(int16(binary.LittleEndian.Uint16(table)))
				table = table[2:]
			}
		}
	}
	index := b[head:]
	if len(index) < int(n)*entryLen {
		return nil, fmt.Errorf("pixelcode: offset %d: the index of %d chunks is cut off", head, n)
	}
	rest := index[int(n)*entryLen:]
	for i := range a.chunks {
		e := index[i*entryLen:]
		records, size := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])
		at := head + i*entryLen
		if records > maxRecords {
			return nil, fmt.Errorf("pixelcode: offset %d: chunk %d has %d records, want at most %d", at, i, records, maxRecords)
		}
		if uint64(size) > uint64(len(rest)) {
			return nil, fmt.Errorf("pixelcode: offset %d: chunk %d has %d bytes, but %d are left", at, i, size, len(rest))
		}
		a.chunks[i] = chunk{records: int(records), sum: e[8:entryLen], payload: rest[:size]}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("pixelcode: %d bytes after the last chunk", len(rest))
	}
	return a, nil
}

// Chunks is the number of chunks.
func (a *Archive) Chunks() int { return len(a.chunks) }

// Decode returns the records of chunk i, 3,073 bytes each, or an error if they do not have the SHA-256 of the index.
func (a *Archive) Decode(i int) ([]byte, error) {
	if i < 0 || i >= len(a.chunks) {
		return nil, fmt.Errorf("pixelcode: chunk %d, want 0 to %d", i, len(a.chunks)-1)
	}
	c := a.chunks[i]
	in := newReader(c.payload)
	m := newModel(&a.weights)
	var out []byte
	var rec [recordLen]byte
	for n := range c.records {
		if !m.readRecord(in, &rec) || in.pos > len(in.in) {
			return nil, fmt.Errorf("pixelcode: chunk %d: record %d is damaged (payload offset %d of %d)", i, n, min(in.pos, len(in.in)), len(in.in))
		}
		if out == nil {
			out = make([]byte, 0, c.records*recordLen)
		}
		out = append(out, rec[:]...)
	}
	if sum := sha256.Sum256(out); !bytes.Equal(sum[:], c.sum) {
		return nil, fmt.Errorf("pixelcode: chunk %d: SHA-256 is %x, want %x", i, sum, c.sum)
	}
	return out, nil
}

// readRecord decodes one record and reports whether all samples were bytes.
func (m *model) readRecord(in *reader, rec *[recordLen]byte) bool {
	prefix := 1
	for range labelBits {
		prefix = prefix*2 + in.bit(&m.label[prefix], &m.label[prefix])
	}
	rec[0] = byte(prefix)
	for y := range side {
		m.startRow(y)
		for x := range side {
			if y == 0 {
				m.topRow(x)
			}
			for ch := range 3 {
				o := at(y, x)
				v := m.predict(ch, o, y, x) + readResidual(in, m.near, m.far)
				if v < 0 || v > 255 {
					return false
				}
				m.learn(ch, o, v)
				rec[1+channelPlane[ch]*plane+y*side+x] = byte(v)
			}
		}
		m.endRow(y)
	}
	return true
}
