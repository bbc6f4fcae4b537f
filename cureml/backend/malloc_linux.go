//go:build linux && cgo

package backend

/*
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>

// Memory is had from one arena by all threads, because those of other threads than the first consist of parts of 64 MB: what
// is larger is mapped anew each time that it is asked for, as a step's work space is from 64 images at width 16. Go starts
// threads, and they their arenas, before any of its functions runs; so this runs before Go does.
__attribute__((constructor)) static void oneArena(void) {
	static const char *const users[] = {"GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "CURE_TUNE", 0};
	for (int i = 0; users[i]; i++)
		if (getenv(users[i])) return;
	mallopt(M_ARENA_MAX, 1);
}

// A training step allocates and frees the same hundreds of megabytes every time. By default glibc maps and unmaps each
// large block, so that every step touches fresh pages. These settings keep freed memory in the process for reuse.
static int keepMemory(void) {
	int ok = mallopt(M_MMAP_MAX, 0);
	ok &= mallopt(M_TRIM_THRESHOLD, -1);
	ok &= mallopt(M_TOP_PAD, 256 << 20);
	return ok;
}

// The space that is asked for and given back at once stays malloc's, untouched and therefore costing nothing, and all that is
// allocated later lies in it.
static int largePages(size_t bytes) {
	char *space = malloc(bytes);
	if (!space) return 0;
	const uintptr_t page = 2 << 20;
	uintptr_t begin = ((uintptr_t)space + page - 1) / page * page;
	int ok = madvise((void *)begin, ((uintptr_t)space + bytes - begin) / page * page, MADV_HUGEPAGE) == 0;
	free(space);
	return ok;
}
#else
static int keepMemory(void) { return 0; }
static int largePages(size_t bytes) { return 0; }
#endif
*/
import "C"

import (
	"bytes"
	"os"
	"syscall"
)

// keepMemory tells glibc's malloc not to give freed memory back to the system; false where there is another libc.
func keepMemory() bool { return C.keepMemory() != 0 }

// largePages asks the system to lay what malloc will hand out, up to half of the machine's memory, on pages of 2 MB where it
// has them on request only (transparent_hugepage/enabled is madvise): a step walks through hundreds of megabytes again and
// again, and finds few of them in a table of pages of 4 kB. It must come after [keepMemory]. It is left out where the system
// counts what is asked for as if it were used (overcommit_memory is 2), and false where it could not be had.
func largePages() bool {
	const strict = '2'
	if mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err != nil || bytes.HasPrefix(mode, []byte{strict}) {
		return false
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return false
	}
	return C.largePages(C.size_t(uint64(info.Totalram)*uint64(info.Unit)/2)) != 0
}
