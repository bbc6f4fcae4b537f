package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// Limits on one pickle stream, which keep what a hostile one makes gopickle allocate near 300 MB: it takes
// about 100 bytes per opcode and 300 more where the opcode makes an object or opens a mark. A tensor of a
// state dict needs some 40 opcodes and 6 objects.
const (
	maxPickle  = 16 << 20
	maxOpcodes = 1 << 20
	maxObjects = 1 << 18
	maxMarks   = 1000
	maxNumeral = 1024 // bytes of one number or global name
)

// argument says what follows an opcode in the stream.
type argument int

const (
	argNone    argument = 0
	argByte    argument = 1 // positive values below argLine: that many bytes
	argLine    argument = iota + 100
	argNumber           // a line that holds a number, limited to maxNumeral
	argGlobal           // two lines: module and name
	argCount1           // a count of 1 byte, then that many bytes
	argCount4           // a count of 4 bytes ...
	argCount8           // a count of 8 bytes ...
	argBigInt1          // a count of 1 byte, then a big integer
	argBigInt4          // a count of 4 bytes, then a big integer of at most maxNumeral bytes
)

// pickleOps are the opcodes that Python's pickler emits for state dicts in protocols 1 to 5.
// Others (persistent ids in text, class instances, extension codes, out-of-band buffers) are refused.
var pickleOps = map[byte]argument{
	'(': argNone, '.': argNone, '0': argNone, '1': argNone, '2': argNone, 'N': argNone, 'Q': argNone,
	'R': argNone, 'a': argNone, 'b': argNone, '}': argNone, 'd': argNone, 'e': argNone, ']': argNone,
	'l': argNone, 's': argNone, 't': argNone, ')': argNone, 'u': argNone,
	'\x85': argNone, '\x86': argNone, '\x87': argNone, '\x88': argNone, '\x89': argNone,
	'\x8f': argNone, '\x90': argNone, '\x91': argNone, '\x93': argNone, '\x94': argNone,
	'K': argByte, 'h': argByte, 'q': argByte, '\x80': argByte, 'M': 2, 'J': 4, 'j': 4, 'r': 4, 'G': 8, '\x95': 8,
	'F': argNumber, 'I': argNumber, 'L': argNumber, 'g': argNumber, 'p': argNumber, 'S': argLine, 'V': argLine,
	'c': argGlobal, 'U': argCount1, 'C': argCount1, '\x8c': argCount1, 'T': argCount4, 'X': argCount4,
	'B': argCount4, '\x8d': argCount8, '\x8e': argCount8, '\x8a': argBigInt1, '\x8b': argBigInt4,
}

// scanPickle walks the opcodes of the pickle at the start of b without running them and returns its length.
// It refuses what gopickle would trust: lengths beyond the data, unlimited nesting, and globals other than
// allowedGlobal accepts, among them the ones gopickle resolves by itself.
func scanPickle(b []byte) (int, error) {
	s := scanner{b: b, memo: map[int]value{}}
	for {
		done, err := s.step()
		if err != nil {
			return 0, err
		}
		if done {
			return s.pos, nil
		}
	}
}

// value is what the scanner knows about an object on the stack: its text, if it is a string.
type value struct {
	text  string
	known bool
}

type scanner struct {
	b       []byte
	pos     int
	marks   int
	opcodes int
	objects int
	memo    map[int]value
	top     [2]value // the last two objects pushed; top[1] is the topmost
}

func (s *scanner) step() (done bool, err error) {
	at := s.pos
	op, err := s.take(1)
	if err != nil {
		return false, err
	}
	kind, ok := pickleOps[op[0]]
	if !ok {
		return false, fmt.Errorf("pickle opcode 0x%02x at byte %d is not one that state dicts use", op[0], at)
	}
	arg, err := s.argument(kind)
	if err != nil {
		return false, fmt.Errorf("pickle opcode 0x%02x at byte %d: %w", op[0], at, err)
	}
	switch op[0] {
	case '.':
		return true, nil
	case 'c':
		module, name, _ := bytes.Cut(arg, []byte("\n"))
		if err := allowedGlobal(string(module), string(name)); err != nil {
			return false, err
		}
	case '\x93':
		if !s.top[0].known || !s.top[1].known {
			return false, fmt.Errorf("pickle builds the name of a global at byte %d, it must be spelt out", at)
		}
		if err := allowedGlobal(s.top[0].text, s.top[1].text); err != nil {
			return false, err
		}
	case '\x95':
		if n := binary.LittleEndian.Uint64(arg); n > uint64(len(s.b)-s.pos) {
			return false, fmt.Errorf("pickle frame of %d bytes at byte %d, only %d follow", n, at, len(s.b)-s.pos)
		}
	}
	if err := s.count(op[0]); err != nil {
		return false, err
	}
	s.track(op[0], arg)
	return false, nil
}

// argument returns the bytes that belong to an opcode, without counts and final newlines.
func (s *scanner) argument(kind argument) ([]byte, error) {
	switch kind {
	case argLine, argNumber:
		return s.line(kind == argNumber)
	case argGlobal:
		start := s.pos
		for range 2 {
			if _, err := s.line(true); err != nil {
				return nil, err
			}
		}
		return s.b[start : s.pos-1], nil
	case argCount1, argBigInt1:
		return s.counted(1)
	case argCount4:
		return s.counted(4)
	case argCount8:
		return s.counted(8)
	case argBigInt4:
		arg, err := s.counted(4)
		if err == nil && len(arg) > maxNumeral {
			err = fmt.Errorf("integer of %d bytes, accepted are %d", len(arg), maxNumeral)
		}
		return arg, err
	}
	return s.take(uint64(kind))
}

func (s *scanner) take(n uint64) ([]byte, error) {
	if n > uint64(len(s.b)-s.pos) {
		return nil, fmt.Errorf("pickle ends early: %d bytes wanted at byte %d, %d left", n, s.pos, len(s.b)-s.pos)
	}
	out := s.b[s.pos : s.pos+int(n)]
	s.pos += int(n)
	return out, nil
}

func (s *scanner) counted(width int) ([]byte, error) {
	var count [8]byte
	b, err := s.take(uint64(width))
	if err != nil {
		return nil, err
	}
	copy(count[:], b)
	return s.take(binary.LittleEndian.Uint64(count[:]))
}

func (s *scanner) line(limited bool) ([]byte, error) {
	n := bytes.IndexByte(s.b[s.pos:], '\n')
	if n < 0 {
		return nil, errors.New("pickle ends early: no end of line")
	}
	if limited && n > maxNumeral {
		return nil, fmt.Errorf("line of %d bytes, accepted are %d", n, maxNumeral)
	}
	out := s.b[s.pos : s.pos+n]
	s.pos += n + 1
	return out, nil
}

// count keeps the numbers of opcodes, objects and open marks, each of which costs memory, within the limits.
func (s *scanner) count(op byte) error {
	s.opcodes++
	switch op {
	case '(':
		s.marks++
		s.objects++
	case '1', 'd', 'e', 'l', 't', 'u', '\x90', '\x91':
		s.marks--
	case '}', ']', ')', 'R', '\x85', '\x86', '\x87', '\x8f':
		s.objects++
	}
	switch {
	case s.marks < 0:
		return fmt.Errorf("pickle closes a mark at byte %d that it never set", s.pos-1)
	case s.marks > maxMarks:
		return fmt.Errorf("pickle nests deeper than %d levels", maxMarks)
	case s.opcodes > maxOpcodes:
		return fmt.Errorf("pickle has more than %d opcodes", maxOpcodes)
	case s.objects > maxObjects:
		return fmt.Errorf("pickle makes more than %d objects", maxObjects)
	}
	return nil
}

// track follows strings through pushes and the memo, so that a STACK_GLOBAL can be read.
// Any opcode that changes the stack in another way makes both positions unknown.
func (s *scanner) track(op byte, arg []byte) {
	push := func(v value) { s.top[0], s.top[1] = s.top[1], v }
	switch op {
	case 'X', '\x8c', '\x8d':
		push(value{string(arg), true})
	case 'p':
		if i, err := strconv.Atoi(string(arg)); err == nil {
			s.memo[i] = s.top[1]
		}
	case 'q':
		s.memo[int(arg[0])] = s.top[1]
	case 'r':
		s.memo[int(binary.LittleEndian.Uint32(arg))] = s.top[1]
	case '\x94':
		s.memo[len(s.memo)] = s.top[1]
	case 'h':
		push(s.memo[int(arg[0])])
	case 'j':
		push(s.memo[int(binary.LittleEndian.Uint32(arg))])
	case '\x80', '\x95':
	default:
		s.top = [2]value{}
	}
}
