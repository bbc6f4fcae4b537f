package benchmark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"cure/cureml"
)

// Card is what was measured of a row, one network and one seed, with all that is needed to repeat it. Accuracies are
// fractions.
type Card struct {
	Name  string `json:"name"` // of the file and of the run folder
	Row   string `json:"row"`
	Title string `json:"title"`
	// Failed says why there are no numbers.
	Failed string `json:"failed,omitempty"`
	// Command makes this card, Train is the training alone.
	Command string `json:"command"`
	Train   string `json:"train"`
	Commit  string `json:"commit,omitempty"` // of the program that trained
	Preset  string `json:"preset"`
	Seed    uint64 `json:"seed"`

	Data             string `json:"data"` // the name of the training images
	TrainImages      int    `json:"train_images"`
	ValidationImages int    `json:"validation_images"`
	Method           string `json:"method"`
	Arch             string `json:"arch"`
	Width            int    `json:"width"`
	Epochs           int    `json:"epochs"`
	Batch            int    `json:"batch"`

	Machine string  `json:"machine"` // that ended the training, whoever makes the card
	Minutes float64 `json:"minutes"` // of training
	// Loss is the training loss over the first and over the last steps that were logged.
	Loss [2]float64 `json:"loss"`
	// History has the validation images' accuracies in the course of training; cards made before 2026-11-28 lack it.
	History []Moment `json:"history,omitempty"`

	Evaluation  Evaluation    `json:"evaluation"`
	Checkpoints []*Checkpoint `json:"checkpoints"`
	Warnings    []string      `json:"warnings"`
	Config      cureml.Config `json:"config"`
}

// Moment is what the validation images said after an epoch: the shares that are right as they are and under PGD-10.
type Moment struct {
	Epoch  int     `json:"epoch"`
	Clean  float64 `json:"clean"`
	Robust float64 `json:"robust"`
}

// Evaluation is how a card's numbers were measured.
type Evaluation struct {
	Data    string   `json:"data"` // the name of the test images
	N       int      `json:"n"`    // the first of them
	Attacks []string `json:"attacks"`
	// AutoAttack is how many of the first test images it attacked: -1 for all, 0 for none.
	AutoAttack int     `json:"autoattack_images"`
	Seed       int64   `json:"seed"`
	Minutes    float64 `json:"minutes"` // without compilation
}

// Checkpoint is one network of a run.
type Checkpoint struct {
	Name string `json:"name"` // best or last
	// Epoch of the run.
	Epoch   int     `json:"epoch"`
	Weights string  `json:"weights_sha256"`
	Natural float64 `json:"natural"`
	PGD20   float64 `json:"pgd20"`
	CW20    float64 `json:"cw20"`
	NRR     float64 `json:"nrr"` // of Natural and CW20
	// AutoAttack is of Evaluation.AutoAttack images; nil where it was not run.
	AutoAttack *float64 `json:"autoattack,omitempty"`
}

// Checkpoint is the one of that name, nil where there is none.
func (c *Card) Checkpoint(name string) *Checkpoint {
	for _, p := range c.Checkpoints {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (b *Benchmark) cards() string { return filepath.Join(b.Dir, "cards") }

func (b *Benchmark) card(name string) string { return filepath.Join(b.cards(), name+".json") }

// readCard returns nil where there is none.
func (b *Benchmark) readCard(name string) (*Card, error) { return cardIn(b.cards(), name) }

// cardIn returns nil where the folder has no card of that name.
func cardIn(dir, name string) (*Card, error) {
	card, err := readCard(filepath.Join(dir, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return card, err
}

func readCard(path string) (*Card, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	c := new(Card)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("benchmark: %s: %w", path, err)
	}
	return c, nil
}

// Cards are all cards of the benchmark, saved ones included, sorted by their names.
func (b *Benchmark) Cards() (cards []*Card, err error) {
	own, err := ReadCards(b.cards())
	if err != nil {
		return nil, err
	}
	return b.withSaved(own)
}

// ReadCards reads all cards in a folder, sorted by their names.
func ReadCards(dir string) (cards []*Card, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	for _, path := range paths {
		c, err := readCard(path)
		if err != nil {
			return nil, err
		}
		cards = append(cards, c)
	}
	sortCards(cards)
	return cards, nil
}

func sortCards(cards []*Card) {
	slices.SortFunc(cards, func(a, b *Card) int { return strings.Compare(a.Name, b.Name) })
}

func (b *Benchmark) writeCard(c *Card) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return write(b.card(c.Name), append(text, '\n'))
}

// write writes a file, complete or not at all, and its folder where that is missing.
func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	if err := renameio.WriteFile(path, text, 0o644, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// oneLine is the first line of an error.
func oneLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return line
}
