package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Read reads a file of weights: safetensors, a safetensors index (.index.json, its shards beside it), or a
// .pt or .pth file of torch.save in its zip or its older format. It goes by content; the file name only
// decides how a file that looks like none of these is reported.
//
// Nested dictionaries are joined with dots ("state_dict.conv1.weight", see [Peel]); entries that are not
// tensors are left out. Tensors come out in C order whatever their strides in the file.
func Read(path string) (*Dict, error) {
	d, err := readFile(path)
	if err != nil {
		if pathErr, ok := err.(*os.PathError); ok {
			err = pathErr.Err // the path already stands in front
		}
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return d, nil
}

func readFile(path string) (*Dict, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, min(info.Size(), 64))
	if err := readAt(f, head, 0); err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".json") && bytes.HasPrefix(bytes.TrimSpace(head), []byte("{")) {
		return readIndex(f, info.Size(), filepath.Dir(path))
	}
	return parse(f, info.Size(), head, strings.HasSuffix(path, ".safetensors"))
}

// parse reads a single file whose first bytes are head. A file that claims to be safetensors is read as such
// unless it clearly is something else.
func parse(r io.ReaderAt, size int64, head []byte, claimed bool) (*Dict, error) {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return parseTorchZip(r, size)
	case isLegacy(head):
		return parseTorchLegacy(r, size)
	case claimed || len(head) > 8 && head[8] == '{':
		return parseSafetensors(r, size)
	case len(head) == 0:
		return nil, errors.New("file is empty")
	}
	return nil, fmt.Errorf("file begins with %q: neither safetensors nor a file of torch.save", head[:min(len(head), 16)])
}
