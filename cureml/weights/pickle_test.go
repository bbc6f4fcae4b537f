package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

func parseBytes(b []byte) (*Dict, error) {
	return parse(bytes.NewReader(b), int64(len(b)), b[:min(len(b), 64)], false)
}

// archive builds a torch.save zip around a pickle and storages.
func archive(t testing.TB, pickled string, storages map[string][]byte, more ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, content []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add("archive/data.pkl", []byte(pickled))
	for _, key := range slices.Sorted(maps.Keys(storages)) {
		add("archive/data/"+key, storages[key])
	}
	for _, name := range more {
		name, content, _ := strings.Cut(name, "=")
		add(name, []byte(content))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Opcodes of the pickles below.
func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}
func num(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}
func tuple(items ...string) string { return "(" + strings.Join(items, "") + "t" }
func dict(items ...string) string  { return "}(" + strings.Join(items, "") + "u" }
func global(module, name string) string {
	return "c" + module + "\n" + name + "\n"
}
func nums(v []int64) string {
	var items []string
	for _, n := range v {
		items = append(items, num(n))
	}
	return tuple(items...)
}

// tensor pickles a view of shape and strides on float storage "0" of numel elements.
func tensor(numel, offset int64, shape, strides []int64) string {
	id := tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), num(numel)) + "Q"
	return global("torch._utils", "_rebuild_tensor_v2") +
		tuple(id, num(offset), nums(shape), nums(strides), "\x89", global("collections", "OrderedDict")+")R") + "R"
}

func TestPickleRefuses(t *testing.T) {
	type i = []int64
	four := map[string][]byte{"0": make([]byte, 16)}
	w := func(tensor string) string { return "\x80\x02" + dict(text("w"), tensor) + "." }
	frame := func(n uint64) string {
		return "\x80\x04\x95" + string(binary.LittleEndian.AppendUint64(nil, n))
	}
	deep := dict(text("a"), num(1))
	for range 20 {
		deep = dict(text("d"), deep)
	}
	laughs := "\x80\x02" + dict(text("w"), tensor(4, 0, i{0}, i{1})) + "q\x00"
	for k := byte(0); k < 14; k++ {
		laughs += "0" + dict(text("a"), "h"+string([]byte{k}), text("b"), "h"+string([]byte{k}), text("c"), "h"+string([]byte{k})) + "q" + string([]byte{k + 1})
	}
	for _, tc := range []struct {
		name, pickled, want string
	}{
		{"storage too small", w(tensor(4, 0, i{5}, i{1})), `tensor "w": shape [5], strides [1] and offset 0 reach element 5, storage "0" has 4`},
		{"offset too large", w(tensor(4, 2, i{3}, i{1})), `offset 2 reach element 5`},
		{"stride too large", w(tensor(4, 0, i{2, 2}, i{3, 1})), `reach element 5`},
		{"offset alone", w(tensor(4, 4, i{}, i{})), `reach element 5`},
		{"negative offset", w(tensor(4, -1, i{1}, i{1})), `storage offset -1 is negative`},
		{"negative stride", w(tensor(4, 3, i{2}, i{-1})), `negative stride in [-1]`},
		{"negative shape", w(tensor(4, 0, i{-2}, i{1})), `negative dimension in shape [-2]`},
		{"stride overflow", w(tensor(4, 0, i{1 << 62, 8}, i{1 << 62, 1})), `overflow`},
		{"stride sum overflow", w(tensor(4, 1<<62, i{3, 1}, i{1 << 61, 1})), `overflow`},
		{"shape overflow", w(tensor(4, 0, i{1 << 62, 1 << 62}, i{0, 0})), `overflows`},
		{"strides missing", w(tensor(4, 0, i{2, 2}, i{1})), `shape [2 2] with 1 strides`},
		{"too many dimensions", w(tensor(4, 0, make(i, 65), make(i, 65))), `65 dimensions] with 65 strides`},
		{"expanded without end", w(tensor(4, 0, i{1 << 40}, i{0})), `repeats its storage of 4 elements beyond`},
		{"record too small", w(tensor(5, 0, i{2}, i{1})), `record "archive/data/0" holds 16 bytes, 5 elements of F32 need 20`},
		{"record too large", w(tensor(3, 0, i{2}, i{1})), `holds 16 bytes, 3 elements`},
		{"negative storage", w(tensor(-1, 0, i{0}, i{1})), `negative dimension in shape [-1]`},
		{"storage overflow", w(tensor(1<<62, 0, i{0}, i{1})), `overflows`},
		{"duplicate name", "\x80\x02" + dict(text("w"), tensor(4, 0, i{1}, i{1}), text("w"), tensor(4, 0, i{1}, i{1})) + ".", `duplicate name "w"`},
		{"os.system", "\x80\x02" + global("os", "system") + tuple(text("true")) + "R.", `global "os.system"`},
		{"gopickle's own global", "\x80\x02" + global("copy_reg", "_reconstructor") + ".", `global "copy_reg._reconstructor"`},
		{"array", "\x80\x02" + global("array", "_array_reconstructor") + ".", `global "array._array_reconstructor"`},
		{"split global", "\x80\x04" + text("os") + text("system") + "\x93.", `global "os.system"`},
		{"global from the memo", "\x80\x04" + text("system") + "\x940" + text("posix") + "\x940" + "h\x01h\x00\x93.", `global "posix.system"`},
		{"global from swapped memo", "\x80\x02" + text("collections") + "q\x00" + text("OrderedDict") + "q\x01" + text("os") + "q\x000h\x00h\x01\x93.", `global "os.OrderedDict"`},
		{"computed global", "\x80\x04(" + text("os") + "l" + text("system") + "\x93.", `builds the name of a global`},
		{"class instance", "\x80\x02(ios\nsystem\n.", `opcode 0x69`},
		{"new object", "\x80\x02" + global("collections", "OrderedDict") + ")\x81.", `opcode 0x81`},
		{"extension", "\x80\x02\x82\x01.", `opcode 0x82`},
		{"opcode 255", "\xff.", `opcode 0xff`},
		{"module id", "\x80\x02" + tuple(text("module"), "N") + "Q.", `such as a whole module`},
		{"text too long", "\x80\x02X\xff\xff\xff\x7f", `2147483647 bytes wanted`},
		{"text of 2^63", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff", `18446744073709551615 bytes wanted`},
		{"frame too long", frame(1<<50) + "N.", `frame of 1125899906842624 bytes at byte 2, only 2 follow`},
		{"huge integer", "\x80\x02\x8b\x00\x10\x00\x00" + strings.Repeat("\x01", 4096) + ".", `integer of 4096 bytes`},
		{"huge numeral", "L" + strings.Repeat("9", 5000) + "L\n.", `line of 5001 bytes`},
		{"marks", strings.Repeat("(", 2000), `nests deeper than 1000`},
		{"objects", strings.Repeat("}", 1<<18+1), `more than 262144 objects`},
		{"opcodes", strings.Repeat("N", 1<<20+1), `more than 1048576 opcodes`},
		{"no mark", "\x80\x02t.", `closes a mark`},
		{"empty", "", `pickle ends early`},
		{"no stop", "\x80\x02}", `pickle ends early`},
		{"no line", "\x80\x02cos", `no end of line`},
		{"protocol 9", "\x80\x09}.", `damaged pickle: unsupported pickle protocol`},
		{"empty stack", "\x80\x02.", `damaged pickle: the stack is empty`},
		{"empty integer", "\x80\x02\x8a\x00.", `damaged pickle: runtime error`},
		{"odd dictionary", "\x80\x02}(Nu.", `damaged pickle: runtime error`},
		{"unhashable key", "\x80\x02" + global("collections", "OrderedDict") + ")RC\x01aNs.", `damaged pickle: hash of unhashable`},
		{"call a number", "\x80\x02K\x01)R.", `REDUCE requires a Callable`},
		{"rebuild nothing", "\x80\x02" + global("torch._utils", "_rebuild_tensor_v2") + ")R.", `rebuilt from 0 arguments`},
		{"rebuild numbers", "\x80\x02" + global("torch._utils", "_rebuild_tensor_v2") + tuple("N", "N", "N", "N") + "R.", `wrong types`},
		{"parameter of nothing", "\x80\x02" + global("torch._utils", "_rebuild_parameter") + ")R.", `call without arguments`},
		{"storage without type", "\x80\x02" + tuple(text("storage"), "N", text("0"), text("cpu"), num(1)) + "Q.", `fields of the wrong types`},
		{"storage cut", "\x80\x02" + tuple(text("storage")) + "Q.", `described by 1 fields`},
		{"complex storage", "\x80\x02" + global("torch", "ComplexFloatStorage") + ".", `global "torch.ComplexFloatStorage"`},
		{"a list", "\x80\x02].", `no dictionary of named tensors`},
		{"deep", "\x80\x02" + deep + ".", `nest deeper than 16 levels`},
		{"billion laughs", laughs + ".", `more than 131072 entries`},
		{"dictionary in itself", "\x80\x02}q\x00" + text("a") + "h\x00s.", `nest deeper than 16 levels`},
		{"long name", "\x80\x02" + dict(text(strings.Repeat("n", 5000)), tensor(4, 0, i{1}, i{1})) + ".", `longer than 4096 bytes`},
	} {
		d, err := parseBytes(archive(t, tc.pickled, four))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
			continue
		}
		if d != nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%s: got a dict or a message that is not one short line: %v", tc.name, err)
		}
	}
}

func TestZipRefuses(t *testing.T) {
	good := "\x80\x02" + dict(text("w"), tensor(4, 0, []int64{4}, []int64{1})) + "."
	four := map[string][]byte{"0": make([]byte, 16)}
	if _, err := parseBytes(archive(t, good, four, "archive/byteorder=little")); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.Create("archive/data.pkl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, good); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := archive(t, good, map[string][]byte{"0": bytes.Repeat([]byte("wxyz"), 4)})
	damaged[bytes.Index(damaged, []byte("wxyzwxyz"))]++
	cut := archive(t, good, four)
	for _, tc := range []struct {
		name string
		b    []byte
		want string
	}{
		{"big endian", archive(t, good, four, "archive/byteorder=big"), `byte order "big"`},
		{"two pickles", archive(t, good, four, "other/data.pkl=N."), "two pickles"},
		{"two records", archive(t, good, four, "archive/data/0=x"), `two records "archive/data/0"`},
		{"no storage", archive(t, good, nil), `no record "archive/data/0"`},
		{"TorchScript", archive(t, good, four, "archive/constants.pkl=x"), "TorchScript"},
		{"compressed", packed.Bytes(), "compressed or encrypted"},
		{"changed byte", damaged, "checksum error"},
		{"cut", cut[:len(cut)-30], "damaged zip archive"},
	} {
		if _, err := parseBytes(tc.b); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

// TestZipOverlap points many records at the same bytes, as a zip bomb does.
func TestZipOverlap(t *testing.T) {
	storages, items := map[string][]byte{}, []string{}
	for k := range 4 {
		key := fmt.Sprint(k)
		storages[key] = bytes.Repeat([]byte{byte(k)}, 4000)
		id := tuple(text("storage"), global("torch", "FloatStorage"), text(key), text("cpu"), num(1000)) + "Q"
		items = append(items, text(key), global("torch._utils", "_rebuild_tensor")+tuple(id, num(0), nums([]int64{1000}), nums([]int64{1}))+"R")
	}
	b := archive(t, "\x80\x02"+dict(items...)+".", storages)
	if _, err := parseBytes(b); err != nil {
		t.Fatal(err)
	}
	a, err := openTorchZip(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	a.records["archive/data/9"] = a.records["archive/data/1"]
	for _, key := range []string{"0", "1", "2", "3", "9"} {
		_, err = a.load(storage{key, F32, 1000})
	}
	if err == nil || !strings.Contains(err.Error(), "the file has only") {
		t.Errorf("fifth record in the place of the second: got %v", err)
	}
}

// legacyFile builds a file of the old format around an object and what follows it.
func legacyFile(object, keys, tail string) []byte {
	return []byte("\x80\x02\x8a\x0a" + legacyMagic + ".\x80\x02M\xe9\x03.\x80\x02}." + object + keys + tail)
}

func TestLegacyRefuses(t *testing.T) {
	tensor := func(numel int64, view string) string {
		id := tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), num(numel), view) + "Q"
		return global("torch._utils", "_rebuild_tensor_v2") + tuple(id, num(0), nums([]int64{2}), nums([]int64{1})) + "R"
	}
	object := "\x80\x02" + dict(text("w"), tensor(2, "N")) + "."
	keys := "\x80\x02](" + text("0") + "e."
	count := func(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }
	data := count(2) + "\x00\x00\x80\x3f\x00\x00\x00\x40"
	d, err := parseBytes(legacyFile(object, keys, data))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := d.Tensors["w"].Float32(); err != nil || len(v) != 2 || v[0] != 1 || v[1] != 2 {
		t.Fatalf("got %v %v", v, err)
	}
	huge := int64(1 << 40)
	for _, tc := range []struct {
		name string
		b    []byte
		want string
	}{
		{"data cut", legacyFile(object, keys, data[:12]), `storage "0" needs 8 bytes, the file has 4 left`},
		{"count cut", legacyFile(object, keys, data[:3]), `5 bytes early`},
		{"other count", legacyFile(object, keys, count(3)+data[8:]), `holds 3 elements, its tensors expect 2`},
		{"negative count", legacyFile(object, keys, count(1<<63)+data[8:]), `holds -9223372036854775808 elements`},
		{"huge", legacyFile("\x80\x02"+dict(text("w"), tensor(huge, "N"))+".", keys, count(uint64(huge))), `needs 4398046511104 bytes, the file has 0 left`},
		{"not listed", legacyFile(object, "\x80\x02].", data), `no storage "0"`},
		{"unknown storage", legacyFile(object, "\x80\x02]("+text("7")+"e.", data), `storage 7 that no tensor uses`},
		{"listed twice", legacyFile(object, "\x80\x02]("+text("0")+text("0")+"e.", data+data), `storage "0" twice`},
		{"no list", legacyFile(object, "\x80\x02N.", data), `no list of storages`},
		{"two sizes", legacyFile("\x80\x02"+dict(text("w"), tensor(2, "N"), text("v"), tensor(3, "N"))+".", keys, data), `described twice, as 2 elements of F32 and 3`},
		{"view", legacyFile("\x80\x02"+dict(text("w"), tensor(2, tuple(text("1"), num(0), num(1))))+".", keys, data), `storage views of PyTorch before 0.4`},
		{"protocol", []byte("\x80\x02\x8a\x0a" + legacyMagic + ".\x80\x02M\xe8\x03."), `torch.save protocol 1000, accepted is 1001`},
		{"magic elsewhere", []byte("\x80\x02\x8a\x0b" + legacyMagic + "\x01."), `magic number`},
		{"cut after the magic", []byte("\x80\x02\x8a\x0a" + legacyMagic), `pickle ends early`},
	} {
		if _, err := parseBytes(tc.b); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

// FuzzPickle feeds bytes to both readers of torch.save files: as they are, and as the pickle of a zip archive
// with two storages, since a zip's checksums would stop most mutations early. Run it with
// -fuzzminimizetime 20x: shrinking its long inputs otherwise takes most of the time.
func FuzzPickle(f *testing.F) {
	for _, name := range []string{"zip.pt", "legacy.pt", "legacy_protocol4.pt", "views_legacy.pt", "net_legacy.pt", "evil_legacy.pt"} {
		f.Add(seed(f, name))
	}
	for _, name := range []string{"views.pt", "state_dict.pt", "zip_protocol4.pt", "parameter.pt", "evil.pt"} {
		b := seed(f, name)
		a, err := openTorchZip(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			f.Fatal(err)
		}
		pickled, err := a.read(a.root+"data.pkl", maxPickle)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pickled)
	}
	f.Add([]byte("\x80\x02" + dict(text("w"), tensor(64, 0, []int64{4, 4}, []int64{1, 4})) + "."))
	f.Fuzz(func(t *testing.T, b []byte) {
		inZip := archive(t, string(b), map[string][]byte{"0": make([]byte, 256), "1": make([]byte, 16)})
		for _, b := range [][]byte{b, inZip} {
			d, err := parseBytes(b)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error of several lines: %v", err)
				}
				continue
			}
			for _, name := range d.Names {
				if err := d.Tensors[name].check(); err != nil {
					t.Errorf("tensor %q: %v", name, err)
				}
			}
			Peel(d)
		}
	})
}
