package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replace moves files or folders from tmp into dir, tries the plugin that is among them, and where anything of this fails
// puts back what was there before: an installation that worked goes on working. tmp lies in dir.
func replace(dir, tmp string, names []string, plugin string, platform Platform) (p Plugin, err error) {
	aside := filepath.Join(tmp, "replaced")
	if err := os.Mkdir(aside, 0o755); err != nil {
		return p, err
	}
	var cleared []string // names that are free for what comes
	defer func() {
		if err == nil {
			return
		}
		for _, name := range cleared {
			_ = os.RemoveAll(filepath.Join(dir, name)) // the move says so if it did not work
			if e := moveIfThere(filepath.Join(aside, name), filepath.Join(dir, name)); e != nil {
				err = fmt.Errorf("%w; %w", err, e)
			}
		}
	}()
	for _, name := range names {
		if err := moveIfThere(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
			return p, err
		}
		cleared = append(cleared, name)
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(dir, name)); err != nil {
			return p, err
		}
	}
	return examine(Plugin{Path: filepath.Join(dir, plugin), Platform: platform, Source: sourceProject})
}

func moveIfThere(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
