package weights

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// storageTypes are the classes that torch.save names for the element type of a storage.
var storageTypes = map[string]DType{
	"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16,
	"LongStorage": I64, "IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
}

// opaqueGlobals make the NumPy numbers that training scripts save beside the weights (the best accuracy).
// Their arguments are dropped.
var opaqueGlobals = []string{
	"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode",
}

// globals maps the accepted globals to their stand-ins.
var globals = func() map[string]any {
	m := map[string]any{
		"collections.OrderedDict":         &types.OrderedDictClass{},
		"torch._utils._rebuild_tensor":    rebuildTensor{},
		"torch._utils._rebuild_tensor_v2": rebuildTensor{},
		"torch._utils._rebuild_parameter": firstArgument{},
		"torch.Size":                      firstArgument{},
	}
	for name, dt := range storageTypes {
		m["torch."+name] = dt
	}
	for _, name := range opaqueGlobals {
		m[name] = opaque{}
	}
	return m
}()

// allowedGlobal returns an error that names the global when nothing of a state dict needs it.
func allowedGlobal(module, name string) error {
	if _, ok := globals[module+"."+name]; ok {
		return nil
	}
	return fmt.Errorf("pickle names the global %s; only the ones that rebuild tensors are accepted, "+
		"save the state dict alone with torch.save(model.state_dict(), ...)", brief(module+"."+name))
}

// storage is a run of elements in a file that tensors are views of.
type storage struct {
	key   string
	dtype DType
	numel int
}

// view is a tensor as a pickle describes it; strides and offset count elements.
type view struct {
	storage        storage
	offset         int
	shape, strides []int
}

// unpickle checks and runs the pickle b. persistent turns the id of a storage into a storage.
func unpickle(b []byte, persistent func(id []any) (storage, error)) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("damaged pickle: %s", oneLine(fmt.Sprint(p)))
		}
	}()
	n, err := scanPickle(b)
	if err != nil {
		return nil, err
	}
	u := pickle.NewUnpickler(bytes.NewReader(b[:n]))
	u.FindClass = func(module, name string) (any, error) {
		if err := allowedGlobal(module, name); err != nil {
			return nil, err
		}
		return globals[module+"."+name], nil
	}
	u.PersistentLoad = func(id any) (any, error) {
		tuple, ok := id.(*types.Tuple)
		if !ok || tuple.Len() == 0 || tuple.Get(0) != "storage" {
			return nil, errors.New("pickle refers to something that is not a tensor's storage, such as a whole module")
		}
		return persistent(*tuple)
	}
	v, err = u.Load()
	if err != nil {
		return nil, fmt.Errorf("damaged pickle: %s", oneLine(err.Error()))
	}
	return v, nil
}

// oneLine cuts a foreign error message, which may quote whole objects, to one readable line.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}

// parseStorage reads the fields that both formats keep in a persistent id:
// ("storage", type, key, device, number of elements, ...).
func parseStorage(id []any) (storage, error) {
	if len(id) < 5 {
		return storage{}, fmt.Errorf("storage described by %d fields, want 5 or more", len(id))
	}
	dt, isType := id[1].(DType)
	key, isKey := id[2].(string)
	numel, isCount := id[4].(int)
	if !isType || !isKey || !isCount {
		return storage{}, errors.New("storage described by fields of the wrong types")
	}
	if _, err := byteSize(dt, []int{numel}); err != nil {
		return storage{}, fmt.Errorf("storage %s: %w", brief(key), err)
	}
	return storage{key, dt, numel}, nil
}

// rebuildTensor stands for torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...).
type rebuildTensor struct{}

func (rebuildTensor) Call(args ...any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("tensor rebuilt from %d arguments, want 4 or more", len(args))
	}
	s, isStorage := args[0].(storage)
	offset, isOffset := args[1].(int)
	shape, isShape := intTuple(args[2])
	strides, isStrides := intTuple(args[3])
	if !isStorage || !isOffset || !isShape || !isStrides {
		return nil, errors.New("tensor rebuilt from arguments of the wrong types")
	}
	return view{s, offset, shape, strides}, nil
}

// firstArgument stands for callables that wrap their first argument: parameters, torch.Size.
type firstArgument struct{}

func (firstArgument) Call(args ...any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("call without arguments")
	}
	return args[0], nil
}

// opaque stands for values that hold no tensor.
type opaque struct{}

func (opaque) Call(...any) (any, error) { return opaque{}, nil }
func (opaque) PySetState(any) error     { return nil }

func intTuple(v any) ([]int, bool) {
	t, ok := v.(*types.Tuple)
	if !ok {
		return nil, false
	}
	out := make([]int, t.Len())
	for i := range out {
		if out[i], ok = t.Get(i).(int); !ok {
			return nil, false
		}
	}
	return out, true
}
