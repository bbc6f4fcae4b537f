package analysis

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cure/cureml/weights"
	"cure/data"
)

// file is where a set lies, under a name that stands for all that it depends on; "" where none is kept.
func (w *workshop) file(name string) string {
	if w.opt.Keep == "" {
		return ""
	}
	h := sha256.New()
	// Settings are numbers and words, which JSON can write.
	_ = json.NewEncoder(h).Encode([]any{name, w.robust.Sum(), w.natural.Sum(), w.opt.Inversion, w.opt.Perturb, w.opt.Seed, w.train.Labels})
	h.Write(w.train.Images)
	return filepath.Join(w.opt.Keep, fmt.Sprintf("%s-%s.safetensors", name, hex.EncodeToString(h.Sum(nil)[:8])))
}

// writeSet keeps images, names and labels.
func writeSet(path string, set *data.Set) error {
	if path == "" {
		return nil
	}
	labels := make([]int64, set.Len())
	for i, y := range set.Labels {
		labels[i] = int64(y)
	}
	d := &weights.Dict{Meta: map[string]string{"name": set.Name}}
	d.Set("images", weights.Tensor{DType: weights.U8, Shape: []int{set.Len(), data.Height, data.Width, data.Channels}, Data: set.Images})
	d.Set("labels", weights.Int64s([]int{set.Len()}, labels))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	return weights.WriteSafetensors(path, d)
}

// readSet returns nil where there is no file. like has what files do not hold.
func readSet(path string, like *data.Set) (*data.Set, error) {
	if path == "" {
		return nil, nil
	}
	d, err := weights.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	images, _ := d.Get("images")
	l, _ := d.Get("labels")
	labels, err := l.Int64()
	if err != nil || images.DType != weights.U8 || len(images.Data) != like.Len()*imageValues || len(labels) != like.Len() {
		return nil, fmt.Errorf("analysis: %s does not hold %d images and labels: delete it to make it anew", path, like.Len())
	}
	set := *like
	set.Name, set.Images, set.Labels = d.Meta["name"], images.Data, make([]int32, len(labels))
	for i, y := range labels {
		if y < 0 || y >= int64(len(like.Classes)) {
			return nil, fmt.Errorf("analysis: %s: label %d of image %d: want 0 to %d", path, y, i, len(like.Classes)-1)
		}
		set.Labels[i] = int32(y)
	}
	return &set, nil
}
