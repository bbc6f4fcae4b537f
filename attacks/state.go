package attacks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// record is what one run on one image came to.
type record struct {
	image, run int
	marks      int32
	loss       float32
	distance   float32 // of a smallest perturbation; else +Inf
	broken     bool    // misclassified, within ball and box
	stray      bool    // outside ball or box
	taken      bool    // worse for the model than what earlier runs returned
	refuted    int     // steps after which a search claimed what the verification denies; else 0
	adv        []float32
}

// state is the file that an evaluation can go on from. It only grows: a block when it is made that says what it is of,
// one with the fingerprint of the model, then one for every batch that was verified, each with its length and checksum. A block that a kill left unfinished at the end
// is cut off. A nil state keeps nothing.
type state struct {
	file   *os.File
	kept   map[string][]block // by the name of the attack, with that of its ensemble before it
	logits []float32          // the fingerprint of the model; nil in a new file
}

// identity is what the verdicts of a state file depend on.
type identity struct {
	Format  int
	Model   string // digests
	Images  string
	Attacks []string
	Seed    int64
	Batch   int
	KeepAdv bool
}

const stateFormat = 2

// openState opens or makes the state file of an evaluation; "" gives nil.
func (v *evaluation) openState(list []Attack) (*state, error) {
	if v.opt.State == "" {
		return nil, nil
	}
	want, err := v.identity(list)
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(v.opt.State)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createState(v.opt.State, want); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(v.opt.State, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &state{file: file, kept: map[string][]block{}}
	if err := s.read(want, v.model.pixels(), len(v.labels)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// createState writes a file without records, complete or not at all.
func createState(path string, id identity) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // of no effect after the renaming
	_, err = file.Write(frame(id.encode()))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// read takes up what the file has and gets ready to append.
func (s *state) read(want identity, pixels, images int) error {
	if err := syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process is at work on it (%w)", err)
	}
	content, err := os.ReadFile(s.file.Name())
	if err != nil {
		return err
	}
	id, blocks, used, err := parseState(content, pixels, images)
	if err != nil {
		return err
	}
	if err := id.same(want); err != nil {
		return err
	}
	for _, b := range blocks {
		if b.Logits != nil {
			s.logits = fromBits(b.Logits)
			continue
		}
		s.kept[b.Attack] = append(s.kept[b.Attack], b)
	}
	if err := s.file.Truncate(int64(used)); err != nil {
		return err
	}
	_, err = s.file.Seek(int64(used), 0)
	return err
}

// same says in which way a file belongs to something else.
func (id identity) same(want identity) error {
	switch {
	case id.Model != want.Model:
		return fmt.Errorf("it is of another model (weights and shapes %.12s, not %.12s)", id.Model, want.Model)
	case id.Images != want.Images:
		return fmt.Errorf("it is of other images, labels, targets or record numbers (%.12s, not %.12s)", id.Images, want.Images)
	case !slices.Equal(id.Attacks, want.Attacks):
		return fmt.Errorf("it is of other attacks: %q, not %q", id.Attacks, want.Attacks)
	case id.Seed != want.Seed:
		return fmt.Errorf("it is of seed %d, not %d", id.Seed, want.Seed)
	case id.Batch != want.Batch:
		return fmt.Errorf("it is of batches of %d, not %d", id.Batch, want.Batch)
	case id.KeepAdv != want.KeepAdv:
		return fmt.Errorf("it is of an evaluation with KeepAdv %v, not %v", id.KeepAdv, want.KeepAdv)
	}
	return nil
}

// identity is that of the evaluation.
func (v *evaluation) identity(list []Attack) (identity, error) {
	id := identity{Format: stateFormat, Seed: v.opt.Seed, Batch: v.size, KeepAdv: v.opt.KeepAdv}
	sum := sha256.New()
	fmt.Fprintln(sum, v.model.Classes, v.model.Image)
	if v.model.Random != nil {
		fmt.Fprintln(sum, "random", v.model.forwards())
	}
	for _, w := range v.model.Weights {
		fmt.Fprintln(sum, w.Shape())
		err := w.ConstBytes(func(data []byte) { sum.Write(data) })
		if err != nil {
			return id, fmt.Errorf("reading weights: %w", err)
		}
	}
	id.Model = hex.EncodeToString(sum.Sum(nil))
	sum.Reset()
	sum.Write(v.images)
	for i, y := range v.labels {
		fmt.Fprintln(sum, y, v.index(i))
	}
	for _, target := range v.opt.Targets {
		fmt.Fprintln(sum, target)
	}
	id.Images = hex.EncodeToString(sum.Sum(nil))
	for _, a := range list {
		id.Attacks = append(id.Attacks, describe(a))
	}
	return id, nil
}

// describe is an attack with all its settings.
func describe(a Attack) string {
	s, ok := a.Method.(Ensemble)
	if !ok {
		return fmt.Sprintf("%s %T%+v", a.Name, a.Method, a.Method)
	}
	text := a.Name
	for _, stage := range s.Stages {
		text += " [" + describe(stage) + "]"
	}
	return text
}

// restore takes over what the file has of an attack.
func (s *state) restore(t *trial) error {
	if s == nil {
		return nil
	}
	for _, b := range s.kept[t.key] {
		for _, r := range b.records {
			t.apply(r)
		}
		t.forwards, t.backwards, t.skipped, t.before = b.Forwards, b.Backwards, b.Skipped, time.Duration(b.Seconds*float64(time.Second))
	}
	return nil
}

// save appends what a batch came to, and returns when it is on the disk.
func (s *state) save(t *trial, records []record) error {
	if s == nil {
		return nil
	}
	return s.append(block{Attack: t.key, Forwards: t.forwards, Backwards: t.backwards, Skipped: t.skipped, Seconds: t.seconds(), records: records})
}

// append writes a block and returns when it is on the disk.
func (s *state) append(b block) error {
	if _, err := s.file.Write(frame(b.encode())); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	return nil
}

func (s *state) close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}
