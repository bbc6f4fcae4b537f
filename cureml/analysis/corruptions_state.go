package analysis

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"cure/data"
)

// verdicts is a file that says which images networks get wrong: a line of JSON about the images, then a line for each
// network, corruption and severity, which is on the disk before the next one is measured. A last line that a kill left
// without its end is cut off. Without a file nothing is kept.
type verdicts struct {
	file  *os.File
	n     int // images
	lines map[verdictKey]verdictLine
}

type verdictKey struct {
	Network  string `json:"network"` // its Sum
	Name     string `json:"name"`    // of the corruption, or "clean"
	Severity int    `json:"severity"`
}

type verdictLine struct {
	verdictKey
	Wrong []byte `json:"wrong"` // bit i%8 of byte i/8 is image i; base64 in JSON
}

// verdictHead is the first line: what all others depend on beside their keys.
type verdictHead struct {
	Format int    `json:"format"`
	N      int    `json:"n"`      // images of each corruption and severity
	Images string `json:"images"` // digest
}

const verdictFormat = 1

// identity stands for the clean images and for what corrupted them. A folder's files are told by size and time of change.
func (o CorruptionOptions) identity(set *data.Set) verdictHead {
	h := sha256.New()
	fmt.Fprintln(h, set.Labels, o.First)
	h.Write(set.Images)
	if o.Folder == nil {
		fmt.Fprintln(h, "seed", o.Seed)
		return verdictHead{verdictFormat, set.Len(), hex.EncodeToString(h.Sum(nil)[:16])}
	}
	path, err := filepath.Abs(o.Folder.Dir)
	fmt.Fprintln(h, "folder", path, err)
	for _, name := range o.Folder.Names {
		if info, err := os.Stat(filepath.Join(o.Folder.Dir, name+".npy")); err == nil {
			fmt.Fprintln(h, name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return verdictHead{verdictFormat, set.Len(), hex.EncodeToString(h.Sum(nil)[:16])}
}

// openVerdicts opens or makes the file; "" keeps nothing.
func openVerdicts(path string, want verdictHead) (*verdicts, error) {
	v := &verdicts{n: want.N, lines: map[verdictKey]verdictLine{}}
	if path == "" {
		return v, nil
	}
	if err := v.open(path, want); err != nil {
		v.close()
		return nil, fmt.Errorf("analysis: state file %s: %w", path, err)
	}
	return v, nil
}

func (v *verdicts) open(path string, want verdictHead) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		head, err := json.Marshal(want)
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(path, append(head, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(path))); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if err := v.read(text[:whole], want); err != nil {
		return err
	}
	if v.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return err
	}
	if whole == len(text) {
		return nil
	}
	return v.file.Truncate(int64(whole))
}

// read takes up whole lines.
func (v *verdicts) read(text []byte, want verdictHead) error {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	var head verdictHead
	if err := json.Unmarshal(first, &head); err != nil || head.Format != verdictFormat {
		return fmt.Errorf("the first line is %.60q: want one of format %d", first, verdictFormat)
	}
	if head != want {
		return fmt.Errorf("it is of other images, seed or folder (%.12s, not %.12s): name another file", head.Images, want.Images)
	}
	for number := 2; len(rest) > 0; number++ {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\n"))
		var l verdictLine
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if len(l.Wrong) != (head.N+7)/8 {
			return fmt.Errorf("line %d: %d bytes of verdicts on %d images: want one bit an image", number, len(l.Wrong), head.N)
		}
		v.lines[l.verdictKey] = l
	}
	return nil
}

// find gives verdicts that are there.
func (v *verdicts) find(network, name string, severity int) (wrong []bool, ok bool) {
	l, ok := v.lines[verdictKey{network, name, severity}]
	if !ok {
		return nil, false
	}
	wrong = make([]bool, v.n)
	for i := range wrong {
		wrong[i] = l.Wrong[i/8]>>(i%8)&1 == 1
	}
	return wrong, true
}

// add keeps verdicts.
func (v *verdicts) add(network, name string, severity int, wrong []bool) error {
	if v.file == nil {
		return nil
	}
	l := verdictLine{verdictKey{network, name, severity}, make([]byte, (v.n+7)/8)}
	for i, w := range wrong {
		if w {
			l.Wrong[i/8] |= 1 << (i % 8)
		}
	}
	text, err := json.Marshal(l)
	if err == nil {
		_, err = v.file.Write(append(text, '\n'))
	}
	if err == nil {
		err = v.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("analysis: state file %s: %w", v.file.Name(), err)
	}
	return nil
}

func (v *verdicts) close() {
	if v.file != nil {
		_ = v.file.Close() // all that was written is on the disk
	}
}
