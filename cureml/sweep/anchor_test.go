package sweep

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestAnchor(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	g := Grid{Data: []string{"mini", "images.bin", "/data/cifar"}}
	got, err := g.Anchor()
	if want := []string{"mini", filepath.Join(dir, "images.bin"), "/data/cifar"}; err != nil || !reflect.DeepEqual(got.Data, want) {
		t.Errorf("data %v (%v), want %v", got.Data, err, want)
	}
	if g.Data[1] != "images.bin" {
		t.Errorf("the grid itself was changed: %v", g.Data)
	}
}

// TestVolume: planned at /mnt/sweeps/table and seen at /sweeps/table, data of the volume lie below /sweeps, and others nowhere.
func TestVolume(t *testing.T) {
	for _, c := range []struct{ at, ref, dir, mount, want, moved string }{
		{"/mnt/sweeps/table", "/mnt/sweeps/data/svhn", "/sweeps/table", "/sweeps", "/mnt/sweeps", "/sweeps/data/svhn"},
		{"/mnt/sweeps/a/table", "/mnt/sweeps/b", "/sweeps/a/table", "/sweeps/", "/mnt/sweeps", "/sweeps/b"},
		{"/sweeps/table", "/sweeps/data", "/sweeps/table", "/sweeps", "/sweeps", "/sweeps/data"},
		{"/mnt/sweeps", "/mnt/sweeps/data", "/sweeps", "/sweeps", "/mnt/sweeps", "/sweeps/data"},
		{"/mnt/table", "mini", "/sweeps/other", "/sweeps", "", "mini"},
		{"/mnt/table", "", "/sweeps/other", "/sweeps", "", ""},
	} {
		s := &Sweep{Dir: c.at, Sets: []Set{{Ref: "mini"}, {Ref: c.ref}}}
		volume, err := s.Volume(c.dir, c.mount)
		if moved := Moved(c.ref, volume, c.mount); err != nil || volume != c.want || moved != c.moved {
			t.Errorf("%+v: volume %q, data at %q (%v)", c, volume, moved, err)
		}
	}
	for _, c := range []struct{ at, ref, dir, want string }{
		{"/mnt/sweeps/table", "/home/data", "/sweeps/table", "data /home/data: tasks see what lies below /mnt/sweeps alone"},
		{"/mnt/sweeps/table", "/mnt/sweeps2/data", "/sweeps/table", "tasks see what lies below /mnt/sweeps alone"},
		{"/mnt/sweeps/table", "data", "/sweeps/table", "data data: tasks see"},
		{"/mnt/sweeps/table", "/mnt/sweeps/data", "/sweeps/other", "/mnt/sweeps/table does not end in other, as /sweeps/other does below /sweeps"},
		{"/mnt/sweeps/table", "/mnt/sweeps/data", "/elsewhere", "folder /elsewhere: want one below the mount /sweeps"},
	} {
		if volume, err := (&Sweep{Dir: c.at, Sets: []Set{{Ref: c.ref}}}).Volume(c.dir, "/sweeps"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: volume %q, %v", c, volume, err)
		}
	}
}
