//go:build !linux || !cgo

package backend

// keepMemory does nothing where malloc is not glibc's.
func keepMemory() bool { return false }

// largePages does nothing either.
func largePages() bool { return false }
