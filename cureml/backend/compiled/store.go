package compiled

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
)

// Store is a folder of compiled programs, shared by any number of processes. It is a cache: whatever cannot be read or
// written is as if it were not there.
type Store struct {
	Dir  string
	Salt string // what decides about the code besides program and options
	Most int64  // bytes; beyond, the programs that were not used for longest go
}

// suffix names the files, so that nothing else in the folder is ever removed.
const suffix = ".program"

// key is where a program is kept.
func (s *Store) key(program, options []byte) string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(s.Salt), options, program} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return filepath.Join(s.Dir, hex.EncodeToString(h.Sum(nil))+suffix)
}

// get is the program kept under a key, nil where there is none or it is damaged.
func (s *Store) get(key string) []byte {
	text, err := os.ReadFile(key)
	if err != nil {
		return nil
	}
	n := len(text) - sha256.Size
	if n < 0 {
		s.drop(key)
		return nil
	}
	if sum := sha256.Sum256(text[:n]); !bytes.Equal(sum[:], text[n:]) {
		s.drop(key)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(key, now, now) // when it was used last, for trim
	return text[:n]
}

// put keeps a program, with its sum behind it.
func (s *Store) put(key string, program []byte) {
	if os.MkdirAll(s.Dir, 0o700) != nil {
		return
	}
	sum := sha256.Sum256(program)
	if renameio.WriteFile(key, append(slices.Clip(program), sum[:]...), 0o600, renameio.WithTempDir(s.Dir)) == nil {
		s.trim()
	}
}

func (s *Store) drop(key string) { _ = os.Remove(key) }

// trim removes the oldest programs while there are too many bytes.
func (s *Store) trim() {
	files, err := filepath.Glob(filepath.Join(s.Dir, "*"+suffix))
	if err != nil {
		return
	}
	type kept struct {
		path string
		fs.FileInfo
	}
	var list []kept
	var total int64
	for _, path := range files {
		if info, err := os.Lstat(path); err == nil {
			list, total = append(list, kept{path, info}), total+info.Size()
		}
	}
	slices.SortFunc(list, func(a, b kept) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, f := range list {
		if total <= s.Most {
			return
		}
		s.drop(f.path)
		total -= f.Size()
	}
}
