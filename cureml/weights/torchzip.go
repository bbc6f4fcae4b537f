package weights

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// parseTorchZip reads what torch.save writes since PyTorch 1.6: a zip archive NAME/ with data.pkl and one
// record NAME/data/KEY per storage, all stored without compression.
func parseTorchZip(r io.ReaderAt, size int64) (*Dict, error) {
	a, err := openTorchZip(r, size)
	if err != nil {
		return nil, err
	}
	pickled, err := a.read(a.root+"data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	v, err := unpickle(pickled, parseStorage)
	if err != nil {
		return nil, err
	}
	return flatten(v, size, a.load)
}

// torchZip is an opened archive. budget counts the bytes still allowed to be read: records that do not
// overlap cannot hold more than the file.
type torchZip struct {
	root    string
	records map[string]*zip.File
	loaded  map[string][]byte
	budget  int64
}

func openTorchZip(r io.ReaderAt, size int64) (*torchZip, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("damaged zip archive: %s", oneLine(err.Error()))
	}
	a := &torchZip{records: map[string]*zip.File{}, loaded: map[string][]byte{}, budget: size}
	for _, f := range z.File {
		if a.records[f.Name] != nil {
			return nil, fmt.Errorf("zip archive has two records %s", brief(f.Name))
		}
		a.records[f.Name] = f
		root, ok := strings.CutSuffix(f.Name, "data.pkl")
		if !ok || strings.Count(root, "/") != 1 || !strings.HasSuffix(root, "/") {
			continue
		}
		if a.root != "" {
			return nil, fmt.Errorf("zip archive has two pickles, %sdata.pkl and %s", a.root, brief(f.Name))
		}
		a.root = root
	}
	if a.root == "" {
		return nil, errors.New("zip archive has no data.pkl, so torch.save did not write it")
	}
	if a.records[a.root+"constants.pkl"] != nil {
		return nil, errors.New("file is a TorchScript program, save its state_dict() with torch.save")
	}
	if a.records[a.root+"byteorder"] != nil {
		order, err := a.read(a.root+"byteorder", 16)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("byte order %s, accepted is \"little\"", brief(string(order)))
		}
	}
	return a, nil
}

// read returns a whole record of at most limit bytes, its checksum verified.
func (a *torchZip) read(name string, limit int64) ([]byte, error) {
	f := a.records[name]
	if f == nil {
		return nil, fmt.Errorf("zip archive has no record %s", brief(name))
	}
	n := f.UncompressedSize64
	switch {
	case f.Method != zip.Store || f.Flags&1 != 0:
		return nil, fmt.Errorf("record %s is compressed or encrypted, torch.save stores plain bytes", brief(name))
	case n > uint64(limit):
		return nil, fmt.Errorf("record %s declares %d bytes, accepted are %d", brief(name), n, limit)
	case n > uint64(a.budget):
		return nil, fmt.Errorf("record %s declares %d bytes, the file has only %d left for it", brief(name), n, a.budget)
	}
	a.budget -= int64(n)
	rc, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("record %s: %s", brief(name), oneLine(err.Error()))
	}
	defer rc.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(rc, b); err != nil {
		return nil, fmt.Errorf("record %s: %s", brief(name), oneLine(err.Error()))
	}
	// The reader compares the checksum when it meets the end.
	if _, err := rc.Read(make([]byte, 1)); err != io.EOF {
		return nil, fmt.Errorf("record %s: %s", brief(name), oneLine(fmt.Sprint(err)))
	}
	return b, nil
}

// load returns the bytes of a storage, read once however many tensors share it.
func (a *torchZip) load(s storage) ([]byte, error) {
	name := a.root + "data/" + s.key
	data, ok := a.loaded[s.key]
	if !ok {
		var err error
		if data, err = a.read(name, math.MaxInt64); err != nil {
			return nil, err
		}
		a.loaded[s.key] = data
	}
	if want := s.numel * s.dtype.Size(); len(data) != want {
		return nil, fmt.Errorf("record %s holds %d bytes, %d elements of %s need %d",
			brief(name), len(data), s.numel, s.dtype, want)
	}
	return data, nil
}
