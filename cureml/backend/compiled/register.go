//go:build linux && cgo

package compiled

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"
)

var (
	registering sync.Mutex
	store       *Store // of the registered plugin
	path        string

	loaded, made atomic.Int64
)

// Register loads the plugin at an absolute path and gives it to go-xla under that path, with programs kept in s. A process
// has one such plugin; registering it again changes nothing.
func Register(plugin string, s Store) error {
	registering.Lock()
	defer registering.Unlock()
	if store != nil {
		if path != plugin {
			return fmt.Errorf("compiled: plugin %s: %s has the cache of this process already", plugin, path)
		}
		return nil
	}
	name := C.CString(plugin)
	defer C.free(unsafe.Pointer(name))
	var problem *C.char
	api := C.shim(name, &problem)
	if api == nil {
		return errors.New("compiled: plugin " + plugin + ": " + C.GoString(problem))
	}
	store, path = &s, plugin
	if err := pjrt.RegisterPreloadedPlugin(plugin, uintptr(unsafe.Pointer(api))); err != nil {
		return fmt.Errorf("compiled: plugin %s: %w", plugin, err)
	}
	return nil
}

// Counts is how many programs this process has loaded, and how many it has compiled and kept.
func Counts() (programsLoaded, programsMade int64) { return loaded.Load(), made.Load() }

// compileThroughCache takes the place of PJRT_Client_Compile. It returns a PJRT_Error of the plugin's, or nil.
//
//export compileThroughCache
func compileThroughCache(args *C.pjrt_compile) unsafe.Pointer {
	key := store.key(view(args.program.code, args.program.code_size), view(args.options, args.options_size))
	if program := store.get(key); len(program) > 0 {
		if C.load(args, (*C.char)(unsafe.Pointer(unsafe.SliceData(program))), C.size_t(len(program))) != 0 {
			loaded.Add(1)
			return nil
		}
		store.drop(key)
	}
	if problem := C.compile_original(args); problem != nil {
		return problem
	}
	var bytes *C.char
	var size C.size_t
	var handle, release unsafe.Pointer
	if C.serialize(args.executable, &bytes, &size, &handle, &release) != 0 {
		store.put(key, view(bytes, size))
		C.release_serialized(handle, release)
		made.Add(1)
	}
	return nil
}

// view is memory of C's as a slice.
func view(p *C.char, n C.size_t) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(p)), n) }
