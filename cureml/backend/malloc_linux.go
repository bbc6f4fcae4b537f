//go:build linux && cgo

package backend

/*
#include <stdlib.h>
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
#else
static int keepMemory(void) { return 0; }
#endif
*/
import "C"

// keepMemory tells glibc's malloc not to give freed memory back to the system; false where there is another libc.
func keepMemory() bool { return C.keepMemory() != 0 }
