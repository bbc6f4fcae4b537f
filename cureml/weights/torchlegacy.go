package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/nlpodyssey/gopickle/types"
)

// legacyMagic is the first object of a file of torch.save's old format: the long integer
// 0x1950a86a20f9469cfc6c, as protocols 2 and up write it, and as protocols 0 and 1 do.
const (
	legacyMagic     = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
	legacyMagicText = "L119547037146038801333356L\n"
	legacyProtocol  = 1001
)

// isLegacy tells by a file's first bytes whether torch.save wrote it in the old format.
func isLegacy(head []byte) bool {
	start := string(head[:min(len(head), 40)])
	return strings.HasPrefix(start, "\x80") && strings.Contains(start, legacyMagic) ||
		strings.HasPrefix(start, legacyMagicText)
}

// parseTorchLegacy reads what torch.save wrote before PyTorch 1.6: the pickles of a magic number, a protocol
// number, facts about the machine, the object and the list of storage keys; then, in the order of the list,
// each storage as an 8-byte number of elements and the elements.
func parseTorchLegacy(r io.ReaderAt, size int64) (*Dict, error) {
	b := make([]byte, min(size, maxPickle))
	if err := readAt(r, b, 0); err != nil {
		return nil, err
	}
	l := legacy{r: r, size: size, head: b, storages: map[string]storage{}}
	v, err := l.pickles()
	if err != nil {
		return nil, err
	}
	return flatten(v, size, l.load)
}

type legacy struct {
	r        io.ReaderAt
	size     int64
	head     []byte // the file's first bytes, all pickles within
	pos      int64
	storages map[string]storage
	offsets  map[string]int64 // where the elements of each storage begin
	loaded   map[string][]byte
}

// next unpickles one object and moves behind it.
func (l *legacy) next() (any, error) {
	rest := l.head[l.pos:]
	n, err := scanPickle(rest)
	if err != nil {
		return nil, err
	}
	l.pos += int64(n)
	return unpickle(rest[:n], l.persistent)
}

func (l *legacy) persistent(id []any) (storage, error) {
	if len(id) > 5 && id[5] != nil {
		return storage{}, errors.New("storage views of PyTorch before 0.4 are not supported, save the file again")
	}
	s, err := parseStorage(id)
	if err != nil {
		return s, err
	}
	if old, seen := l.storages[s.key]; seen && old != s {
		return s, fmt.Errorf("storage %s described twice, as %d elements of %s and %d of %s",
			brief(s.key), old.numel, old.dtype, s.numel, s.dtype)
	}
	l.storages[s.key] = s
	return s, nil
}

// pickles reads the five pickles and locates the storages; it returns the saved object.
func (l *legacy) pickles() (any, error) {
	magic, err := l.next()
	if err != nil {
		return nil, err
	}
	if n, ok := magic.(*big.Int); !ok || n.Text(16) != "1950a86a20f9469cfc6c" {
		return nil, errors.New("file does not start with torch.save's magic number")
	}
	protocol, err := l.next()
	if err != nil {
		return nil, err
	}
	if protocol != legacyProtocol {
		return nil, fmt.Errorf("torch.save protocol %s, accepted is %d", oneLine(fmt.Sprint(protocol)), legacyProtocol)
	}
	if _, err := l.next(); err != nil {
		return nil, err
	}
	v, err := l.next()
	if err != nil {
		return nil, err
	}
	keys, err := l.next()
	if err != nil {
		return nil, err
	}
	return v, l.locate(keys)
}

// locate walks the storages behind the pickles without reading their elements.
func (l *legacy) locate(keys any) error {
	list, ok := keys.(*types.List)
	if !ok {
		return errors.New("file has no list of storages")
	}
	l.offsets = make(map[string]int64, len(*list))
	for _, k := range *list {
		key, ok := k.(string)
		s, known := l.storages[key]
		if !ok || !known {
			return fmt.Errorf("file lists a storage %s that no tensor uses", oneLine(fmt.Sprint(k)))
		}
		if _, twice := l.offsets[key]; twice {
			return fmt.Errorf("file lists storage %s twice", brief(key))
		}
		var count [8]byte
		if err := readAt(l.r, count[:], l.pos); err != nil {
			return fmt.Errorf("storage %s: %w", brief(key), err)
		}
		l.pos += 8
		if n := int64(binary.LittleEndian.Uint64(count[:])); n != int64(s.numel) {
			return fmt.Errorf("storage %s holds %d elements, its tensors expect %d", brief(key), n, s.numel)
		}
		bytes := int64(s.numel) * int64(s.dtype.Size())
		if bytes > l.size-l.pos {
			return fmt.Errorf("storage %s needs %d bytes, the file has %d left", brief(key), bytes, l.size-l.pos)
		}
		l.offsets[key] = l.pos
		l.pos += bytes
	}
	l.loaded = make(map[string][]byte, len(l.offsets))
	return nil
}

// load returns the bytes of a storage, read once however many tensors share it.
func (l *legacy) load(s storage) ([]byte, error) {
	if data, ok := l.loaded[s.key]; ok {
		return data, nil
	}
	off, ok := l.offsets[s.key]
	if !ok {
		return nil, fmt.Errorf("file has no storage %s", brief(s.key))
	}
	data := make([]byte, s.numel*s.dtype.Size())
	if err := readAt(l.r, data, off); err != nil {
		return nil, fmt.Errorf("storage %s: %w", brief(s.key), err)
	}
	l.loaded[s.key] = data
	return data, nil
}
