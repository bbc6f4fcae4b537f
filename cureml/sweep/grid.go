package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// Grid says what a sweep measures: every method on every network of every width, on every data set, with every seed. Its
// JSON is what `cure sweep plan --grid` reads.
type Grid struct {
	// Preset is the size: ci, mini or paper.
	Preset string `json:"preset"`
	// Methods are rows of package recipes, or groups of them: table, extras, ablations, all.
	Methods []string `json:"methods"`
	// Archs are networks as nn.Parse takes them, Widths their base widths; empty means the preset's, and so does width 0, or
	// the published one of a network that is not the preset's.
	Archs  []string `json:"archs,omitempty"`
	Widths []int    `json:"widths,omitempty"`
	// Data are mini, or files or folders with data sets, which [Grid.Anchor] makes absolute; empty means the preset's. Each has a benchmark folder of its own in
	// the sweep.
	Data  []string `json:"data,omitempty"`
	Seeds []uint64 `json:"seeds,omitempty"` // empty means 0
	// Epochs, if not 0, replaces those of the recipes.
	Epochs int `json:"epochs,omitempty"`
	// AutoAttack is how many test images AutoAttack attacks, -1 for all, 0 for none; nil means the preset's number.
	AutoAttack *int `json:"autoattack,omitempty"`
	// Attacks are further evaluations of last checkpoints on all test images, each a list as `cure eval --attack` takes it.
	Attacks []string `json:"attacks,omitempty"`
	// Shard is how many images a task attacks, at most; 0 means all.
	Shard int `json:"shard,omitempty"`
	// Rows are those of the compiled programs of attacks; 0 means attacks.DefaultBatch.
	Rows int `json:"rows,omitempty"`
}

// ReadGrid reads the JSON of a grid. Keys that it does not know are an error, which names them.
func ReadGrid(path string) (g Grid, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return g, fmt.Errorf("sweep: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return g, fmt.Errorf("sweep: %s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return g, fmt.Errorf("sweep: %s: there is more than one grid", path)
	}
	return g, nil
}

// Validate says what is wrong with g, in one line that names the value.
func (g Grid) Validate() error {
	if _, err := recipes.FindPreset(g.Preset); err != nil {
		return fmt.Errorf("sweep: preset: %w", err)
	}
	if len(g.Methods) == 0 {
		return fmt.Errorf("sweep: no methods: want names of rows, or table, extras, ablations or all")
	}
	if _, err := recipes.Select(strings.Join(g.Methods, ",")); err != nil {
		return fmt.Errorf("sweep: methods: %w", err)
	}
	for _, w := range g.Widths {
		if w < 0 || w > 1024 {
			return fmt.Errorf("sweep: width %d: want a base width of 1 to 1024, or 0 for the preset's", w)
		}
	}
	if g.Epochs < 0 {
		return fmt.Errorf("sweep: epochs %d: want 1 or more, or 0 for the recipes'", g.Epochs)
	}
	if n := g.AutoAttack; n != nil && *n < -1 {
		return fmt.Errorf("sweep: autoattack %d: want a number of images, 0 for none or -1 for all", *n)
	}
	for _, list := range g.Attacks {
		if err := checkAttacks(list); err != nil {
			return err
		}
	}
	if g.Shard < 0 {
		return fmt.Errorf("sweep: shard %d: want 1 or more images, or 0 for all", g.Shard)
	}
	if g.Rows < 0 {
		return fmt.Errorf("sweep: rows %d: want 1 or more, or 0 for the default", g.Rows)
	}
	return first(distinct("arch", g.Archs), distinct("width", g.Widths), distinct("data", g.Data), distinct("seed", g.Seeds),
		distinct("attacks", g.Attacks), g.checkFolders())
}

// checkAttacks wants a list that is not one of every card, and says what package attacks finds wrong with it.
func checkAttacks(list string) error {
	parsed, err := attacks.ParseList(list)
	if err != nil {
		return fmt.Errorf("sweep: attacks: %w", err)
	}
	for _, a := range parsed {
		if a.Method == nil {
			return fmt.Errorf("sweep: attacks %q: natural attacks nothing, and every report has natural accuracy: want attacks", list)
		}
	}
	if list == cardAttacks || list == autoAttack {
		return fmt.Errorf("sweep: attacks %q: every card has these: want others", list)
	}
	return nil
}

// Evaluations that package benchmark makes for its cards.
const (
	cardAttacks = "pgd20,cw20"
	autoAttack  = "autoattack"
)

// checkFolders finds data sets whose folders in the sweep would be one.
func (g Grid) checkFolders() error {
	seen := map[string]string{}
	for _, ref := range g.Data {
		name := folderOf(ref)
		if name == "" {
			return fmt.Errorf("sweep: data %q: want mini, or the path of a data set", ref)
		}
		if other, taken := seen[name]; taken {
			return fmt.Errorf("sweep: data %s and %s would both lie in the folder %s: rename one of them", other, ref, name)
		}
		seen[name] = ref
	}
	return nil
}

// folderOf is what the benchmark folder of a data set is called.
func folderOf(ref string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, strings.TrimSuffix(filepath.Base(filepath.Clean(ref)), ".bin"))
	return strings.Trim(name, ".-")
}

func distinct[T comparable](what string, list []T) error {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return fmt.Errorf("sweep: %s %v appears twice", what, v)
		}
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// preset is that of the grid, for one data set.
func (g Grid) preset(ref string) (recipes.Preset, error) {
	p, err := recipes.FindPreset(g.Preset)
	if ref != "" {
		p.Data = ref
	}
	if g.AutoAttack != nil {
		p.AutoAttack = *g.AutoAttack
	}
	return p, err
}

// data are the references of the data sets; "" is the preset's.
func (g Grid) data() []string {
	if len(g.Data) == 0 {
		return []string{""}
	}
	return g.Data
}

func (g Grid) seeds() []uint64 {
	if len(g.Seeds) == 0 {
		return []uint64{0}
	}
	return g.Seeds
}

// archs are the networks of the grid for data with so many classes.
func (g Grid) archs(p recipes.Preset, classes int) (list []nn.Arch, err error) {
	names, widths := g.Archs, g.Widths
	if len(names) == 0 {
		names = []string{p.Arch.Name}
	}
	if len(widths) == 0 {
		widths = []int{0}
	}
	for _, name := range names {
		for _, width := range widths {
			if width == 0 && name == p.Arch.Name {
				width = p.Arch.Width
			}
			a, err := nn.Parse(name, width, classes)
			if err != nil {
				return nil, fmt.Errorf("sweep: %w", err)
			}
			if slices.ContainsFunc(list, func(b nn.Arch) bool { return b.String() == a.String() }) {
				return nil, fmt.Errorf("sweep: %s appears twice: width 0 is %d here", a, a.Width)
			}
			list = append(list, a)
		}
	}
	return list, nil
}
