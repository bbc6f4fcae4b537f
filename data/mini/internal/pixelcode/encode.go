package pixelcode

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Encode packs chunks of CIFAR-10 records (3,073 bytes each) into one archive. The prediction weights are
// fitted to all chunks; each chunk can be decoded on its own.
func Encode(chunks [][]byte) ([]byte, error) {
	if len(chunks) == 0 || len(chunks) > maxChunks {
		return nil, fmt.Errorf("pixelcode: %d chunks, want 1 to %d", len(chunks), maxChunks)
	}
	for i, c := range chunks {
		if len(c)%recordLen != 0 || len(c) > maxRecords*recordLen {
			return nil, fmt.Errorf("pixelcode: chunk %d has %d bytes, want at most %d records of %d bytes", i, len(c), maxRecords, recordLen)
		}
	}
	w := fit(chunks)
	out := append([]byte(nil), magic...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(chunks)))
	for ch := range w {
		for k := range w[ch] {
			for _, v := range w[ch][k] {
				out = binary.LittleEndian.AppendUint16(out, uint16(int16(v)))
			}
		}
	}
	var payloads []byte
	for _, c := range chunks {
		p := encodeChunk(c, w)
		sum := sha256.Sum256(c)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(c)/recordLen))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, sum[:]...)
		payloads = append(payloads, p...)
	}
	return append(out, payloads...), nil
}

func encodeChunk(records []byte, w *weightTable) []byte {
	m, out := newModel(w), newWriter()
	for ; len(records) > 0; records = records[recordLen:] {
		prefix := 1
		for i := labelBits - 1; i >= 0; i-- {
			bit := int(records[0]) >> i & 1
			out.bit(&m.label[prefix], &m.label[prefix], bit)
			prefix = prefix*2 + bit
		}
		m.eachSample(records[1:recordLen], func(ch, o, y, x int, v int32) {
			pred := m.predict(ch, o, y, x)
			writeResidual(out, m.near, m.far, v-pred)
			m.learn(ch, o, v)
		})
	}
	return out.close()
}

// eachSample visits the samples of one image in coding order.
func (m *model) eachSample(pixels []byte, visit func(ch, o, y, x int, v int32)) {
	for y := range side {
		m.startRow(y)
		for x := range side {
			if y == 0 {
				m.topRow(x)
			}
			for ch := range 3 {
				visit(ch, at(y, x), y, x, int32(pixels[channelPlane[ch]*plane+y*side+x]))
			}
		}
		m.endRow(y)
	}
}
