//go:build !linux || !cgo

package compiled

import "errors"

// Register is for Linux.
func Register(string, Store) error { return errors.New("compiled: programs are kept on Linux only") }

// Counts has nothing to count.
func Counts() (programsLoaded, programsMade int64) { return 0, 0 }
