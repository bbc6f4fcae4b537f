package attacks

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
)

// block is what one verified batch adds to a state file: a line of JSON, then the adversarial images as float32.
type block struct {
	Attack    string
	Forwards  int64 // of the attack so far, as are the others
	Backwards int64
	Skipped   int64
	Seconds   float64
	Rows      []blockRow
	Logits    []byte `json:",omitempty"` // of the block with the model's fingerprint alone

	records []record
}

// blockRow is a record in a block. Floats are their bits.
type blockRow struct {
	Image, Run                 int
	Marks                      int32
	Loss, Distance             uint32
	Broken, Stray, Taken, Kept bool
	Refuted                    int `json:",omitempty"`
}

// longestBlock keeps a damaged length from asking for all the memory.
const longestBlock = 1 << 31

// frame puts length and checksum around a payload.
func frame(payload []byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	out = append(out, payload...)
	return binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(payload))
}

func (id identity) encode() []byte {
	text, err := json.Marshal(id)
	if err != nil {
		panic(err) // strings and numbers
	}
	return append([]byte(stateMagic), text...)
}

// stateMagic begins the first block.
const stateMagic = "cure attack state\n"

func (b block) encode() []byte {
	var images []byte
	for _, r := range b.records {
		b.Rows = append(b.Rows, blockRow{
			r.image, r.run, r.marks, math.Float32bits(r.loss), math.Float32bits(r.distance), r.broken, r.stray, r.taken, r.adv != nil, r.refuted,
		})
		images = append(images, bits(r.adv)...)
	}
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // strings and finite numbers
	}
	return append(append(text, '\n'), images...)
}

// parseState reads the content of a state file for so many images of so many pixel values. used is where its last
// complete block ends.
func parseState(content []byte, pixels, images int) (id identity, blocks []block, used int, err error) {
	for used < len(content) {
		payload, size, err := unframe(content[used:])
		if err != nil {
			return id, nil, 0, fmt.Errorf("at byte %d: %w", used, err)
		}
		if payload == nil {
			break
		}
		if used == 0 {
			err = id.decode(payload)
		} else {
			var b block
			err = b.decode(payload, pixels, images)
			blocks = append(blocks, b)
		}
		if err != nil {
			return id, nil, 0, fmt.Errorf("at byte %d: %w", used, err)
		}
		used += size
	}
	if used == 0 {
		return id, nil, 0, fmt.Errorf("it does not begin as a state file does")
	}
	return id, blocks, used, nil
}

// unframe takes the first block off; payload is nil where the content ends within it.
func unframe(content []byte) (payload []byte, size int, err error) {
	if len(content) < 8 {
		return nil, 0, nil
	}
	n := int64(binary.LittleEndian.Uint32(content))
	switch {
	case n >= longestBlock:
		return nil, 0, fmt.Errorf("a block of %d bytes", n)
	case n+8 > int64(len(content)):
		return nil, 0, nil
	}
	payload = content[4 : 4+n]
	if crc32.ChecksumIEEE(payload) != binary.LittleEndian.Uint32(content[4+n:]) {
		if n+8 == int64(len(content)) {
			return nil, 0, nil // the length was on the disk before the rest
		}
		return nil, 0, fmt.Errorf("the checksum is wrong: the file is damaged")
	}
	return payload, int(n + 8), nil
}

func (id *identity) decode(payload []byte) error {
	text, ok := bytes.CutPrefix(payload, []byte(stateMagic))
	if !ok {
		return fmt.Errorf("it does not begin as a state file does")
	}
	if err := json.Unmarshal(text, id); err != nil {
		return err
	}
	if id.Format != stateFormat {
		return fmt.Errorf("format %d, want %d: another version of this program wrote it, so begin a new file", id.Format, stateFormat)
	}
	return nil
}

func (b *block) decode(payload []byte, pixels, images int) error {
	text, rest, ok := bytes.Cut(payload, []byte("\n"))
	if !ok {
		return fmt.Errorf("a block without its line")
	}
	if err := json.Unmarshal(text, b); err != nil {
		return err
	}
	for _, row := range b.Rows {
		if row.Image < 0 || row.Image >= images || row.Run < 0 {
			return fmt.Errorf("run %d of image %d: want images 0 to %d", row.Run, row.Image, images-1)
		}
		r := record{
			image: row.Image, run: row.Run, marks: row.Marks, loss: math.Float32frombits(row.Loss),
			distance: math.Float32frombits(row.Distance), broken: row.Broken, stray: row.Stray, taken: row.Taken, refuted: row.Refuted,
		}
		if row.Kept {
			if len(rest) < 4*pixels {
				return fmt.Errorf("%d bytes of images left, want %d", len(rest), 4*pixels)
			}
			r.adv, rest = fromBits(rest[:4*pixels]), rest[4*pixels:]
		}
		b.records = append(b.records, r)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes more than the images of a block", len(rest))
	}
	b.Rows = nil
	return nil
}

// bits of float32 values, which unlike their decimals include NaN and the infinities.
func bits(values []float32) []byte {
	out := make([]byte, 0, 4*len(values))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

// fromBits is the inverse.
func fromBits(data []byte) []float32 {
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}
