package backend

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// checkLibrary looks at a shared library without loading it: is it one, for this machine, whole, and a PJRT plugin.
func checkLibrary(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	if runtime.GOOS != "linux" {
		return nil // the trial in a child process is the only check for other formats
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if n, _ := f.ReadAt(magic, 0); n < 4 || string(magic) != elf.ELFMAG {
		return fmt.Errorf("it is no shared library (its first bytes are %q)", magic[:n])
	}
	lib, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("its header cannot be read; the file is damaged or cut short at %d bytes", info.Size())
	}
	if want := elfMachine(); want != elf.EM_NONE && lib.Machine != want {
		return fmt.Errorf("it was built for %s, this machine is %s", lib.Machine, want)
	}
	for _, prog := range lib.Progs {
		if end := prog.Off + prog.Filesz; end < prog.Off || end > uint64(info.Size()) {
			return fmt.Errorf("the file is cut short: it has %d bytes and its header speaks of %d", info.Size(), end)
		}
	}
	symbols, err := lib.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("its table of symbols cannot be read; the file is damaged")
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "GetPjrtApi" && s.Section != elf.SHN_UNDEF }) {
		return errors.New("it is a shared library of another kind (it exports no GetPjrtApi)")
	}
	return nil
}

func elfMachine() elf.Machine {
	switch runtime.GOARCH {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	}
	return elf.EM_NONE
}
