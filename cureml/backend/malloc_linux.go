//go:build linux && cgo

package backend

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>

// A training step allocates and frees the same hundreds of megabytes every time. By default glibc maps and unmaps each
// large block, so that every step touches fresh pages. These settings keep freed memory in the process for reuse. One arena
// is for all threads because the others' grow to 64 MB only: the work space of 128 images at width 16 is larger.
static int keepMemory(void) {
	int ok = mallopt(M_MMAP_MAX, 0);
	ok &= mallopt(M_TRIM_THRESHOLD, -1);
	ok &= mallopt(M_TOP_PAD, 256 << 20);
	ok &= mallopt(M_ARENA_MAX, 1);
	return ok;
}
#else
static int keepMemory(void) { return 0; }
#endif
*/
import "C"

// keepMemory tells glibc's malloc not to give freed memory back to the system; false where there is another libc.
func keepMemory() bool { return C.keepMemory() != 0 }
