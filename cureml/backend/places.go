package backend

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// stateFolder is the git-ignored folder of a checkout that holds everything this project installs.
const stateFolder = ".cure"

// modulePath is the module whose checkout is looked for.
const modulePath = "cure"

// Root returns the checkout of module cure that the program runs in, or was built of, and false when there is none.
func Root() (string, bool) {
	if wd, err := os.Getwd(); err == nil {
		if root, ok := rootAbove(wd); ok {
			return root, true
		}
	}
	if _, source, _, ok := runtime.Caller(0); ok && filepath.IsAbs(source) {
		return rootAbove(filepath.Dir(source))
	}
	return "", false
}

// rootAbove walks up from dir to the folder whose go.mod declares module cure. A copy in Go's module cache does not
// count: nothing can be installed there.
func rootAbove(dir string) (string, bool) {
	for {
		if declaresModule(filepath.Join(dir, "go.mod")) {
			return dir, !strings.Contains(filepath.Base(dir), "@")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

func declaresModule(goMod string) bool {
	f, err := os.Open(goMod)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`) == modulePath
		}
	}
	return false
}

// installFolder is where [Setup] puts plugins: .cure/pjrt of the checkout, else cure/pjrt in the user's cache.
func installFolder() (string, error) {
	if root, ok := Root(); ok {
		return filepath.Join(root, stateFolder, "pjrt"), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, modulePath, "pjrt"), nil
}

// ownFolders lists the folders that may hold plugins installed by [Setup], nearest first.
func ownFolders() []string {
	var dirs []string
	if root, ok := Root(); ok {
		dirs = append(dirs, filepath.Join(root, stateFolder, "pjrt"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, modulePath, "pjrt"))
	}
	return dirs
}

// goXLAFolders lists the folders where go-xla's installer puts plugins for all programs of the user or the machine.
func goXLAFolders() []string {
	var dirs []string
	if home, err := os.UserHomeDir(); err == nil {
		lib := filepath.Join(home, ".local", "lib")
		if runtime.GOOS == "darwin" {
			lib = filepath.Join(home, "Library", "Application Support")
		}
		dirs = append(dirs, filepath.Join(lib, "go-xla"), filepath.Join(lib, "go-xla", "nvidia"))
	}
	return append(dirs, "/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia")
}
