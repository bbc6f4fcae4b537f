package benchmark

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"cure/cureml/recipes"
	"cure/viz"
)

// copied is true of all published values.
const copied = "Published values are of networks of full width trained on all 50,000 images. Those of other methods were copied by the CURE paper " +
	"from papers that attack in different ways and report the best or the last checkpoint."

// Table has a line for each row, network and checkpoint, measured values beside published ones. Marks such as [1] refer
// to the notes: failures, and what is known to be wrong with published values.
func Table(cards []*Card) *viz.Table {
	lines := Lines(cards)
	t := &viz.Table{Title: "Natural and robust accuracy in %"}
	t.Header = slices.Concat([]string{"method", "network", "checkpoint"}, columnNames, []string{"minutes", "publ. natural", "publ. PGD-20", "publ. C&W", "publ. NRR", "publ. AutoAttack"})
	var marks marks
	for _, l := range lines {
		title := l.Title
		for _, c := range l.Failed {
			title += marks.add(fmt.Sprintf("%s on %s, seed %d failed: %s", l.Title, l.Arch, c.Seed, c.Failed))
		}
		checkpoints := l.checkpoints()
		for i, checkpoint := range checkpoints {
			row := []string{title, l.Arch.String(), checkpoint}
			for _, column := range columns {
				row = append(row, cell(l.Value(checkpoint, column)))
			}
			row = append(row, minutes(l.Minutes()))
			if last := i == len(checkpoints)-1; last {
				row = append(row, l.published(&marks)...)
			} else {
				row = append(row, make([]string, len(columns))...)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	t.Notes = append(sizes(lines), copied)
	t.Notes = append(t.Notes, marks.notes...)
	return t
}

// checkpoints are the lines that a row takes.
func (l *Line) checkpoints() (names []string) {
	for _, name := range []string{"best", "last"} {
		if slices.ContainsFunc(l.Cards, func(c *Card) bool { return c.Checkpoint(name) != nil }) {
			names = append(names, name)
		}
	}
	if names == nil {
		names = []string{"failed"}
	}
	return names
}

// published are the cells of the published values, with marks where something is wrong with them.
func (l *Line) published(m *marks) (cells []string) {
	p, known := l.Row.On(l.Arch.Name)
	for i, column := range columns {
		value, text := p.Value(column), "–"
		if known && !math.IsNaN(value) {
			text = fmt.Sprintf("%.2f", value)
		}
		if i == 0 && known && p.Source != recipes.CURETable && p.Source != "" {
			text += m.add("Published values from " + p.Source + ".")
		}
		for _, note := range p.Notes {
			if note.Column == column || note.Column == "row" && i == 0 {
				text += m.add(fmt.Sprintf("%s, %s, published: %s", l.Title, l.Arch.Name, note.Text))
			}
		}
		cells = append(cells, text)
	}
	return cells
}

// marks numbers notes; equal ones share a mark.
type marks struct{ notes []string }

func (m *marks) add(text string) string {
	for i, note := range m.notes {
		if mark := fmt.Sprintf("[%d]", i+1); note == mark+" "+text {
			return " " + mark
		}
	}
	mark := fmt.Sprintf("[%d]", len(m.notes)+1)
	m.notes = append(m.notes, mark+" "+text)
	return " " + mark
}

// cell is a value in per cent with its deviation.
func cell(mean, std float64) string {
	switch {
	case math.IsNaN(mean):
		return "–"
	case math.IsNaN(std):
		return fmt.Sprintf("%.2f", mean)
	}
	return fmt.Sprintf("%.2f ± %.2f", mean, std)
}

func minutes(m float64) string {
	if math.IsNaN(m) {
		return "–"
	}
	return fmt.Sprintf("%.1f", m)
}

// sizes say what the numbers are of: images, epochs and seeds, which mostly are the same for all rows.
func sizes(lines []*Line) (notes []string) {
	say := func(text string) {
		if !slices.Contains(notes, text) {
			notes = append(notes, text)
		}
	}
	for _, l := range lines {
		for _, c := range l.Cards {
			e := c.Evaluation
			on := fmt.Sprintf("%d training images of %s", c.TrainImages, c.Data)
			if c.ValidationImages > 0 {
				on += fmt.Sprintf(", and %d that select the best checkpoint", c.ValidationImages)
			}
			attacked := fmt.Sprintf("%d test images of %s", e.N, e.Data)
			switch {
			case e.AutoAttack > 0 && e.AutoAttack < e.N:
				attacked += fmt.Sprintf(", AutoAttack on the first %d, so that it may be above PGD-20's accuracy on all of them", e.AutoAttack)
			case e.AutoAttack == 0:
				attacked += ", without AutoAttack"
			}
			say(on + "; " + attacked + ".")
		}
	}
	if text := seedCounts(lines); text != "" {
		say("± is the sample standard deviation over seeds: " + text + ".")
	}
	return notes
}

// seedCounts says how many seeds rows have, "" where it is one.
func seedCounts(lines []*Line) string {
	var parts []string
	same := true
	for _, l := range lines {
		same = same && len(l.Cards) == len(lines[0].Cards)
		if n := len(l.Cards); n > 1 {
			parts = append(parts, fmt.Sprintf("%d of %s on %s", n, l.Title, l.Arch))
		}
	}
	if same && parts != nil {
		return fmt.Sprintf("%d of every row", len(lines[0].Cards))
	}
	return strings.Join(parts, ", ")
}

// CSV is the table for programs: one line a row, network and checkpoint, means and deviations in columns of their own,
// empty where there is no value.
func CSV(cards []*Card) ([]byte, error) {
	head := []string{"row", "method", "arch", "width", "checkpoint", "seeds", "failed"}
	for _, column := range columns {
		head = append(head, column, column+"_std", "published_"+column)
	}
	head = append(head, "minutes", "published_source", "notes")
	out := [][]string{head}
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return fmt.Sprintf("%.4f", v)
	}
	for _, l := range Lines(cards) {
		p, known := l.Row.On(l.Arch.Name)
		for _, checkpoint := range l.checkpoints() {
			record := []string{l.Row.Name, l.Method, l.Arch.Name, fmt.Sprint(l.Arch.Width), checkpoint, fmt.Sprint(len(l.Cards)), fmt.Sprint(len(l.Failed))}
			for _, column := range columns {
				mean, std := l.Value(checkpoint, column)
				published := math.NaN()
				if known {
					published = p.Value(column)
				}
				record = append(record, number(mean), number(std), number(published))
			}
			out = append(out, append(record, number(l.Minutes()), p.Source, noteTexts(p, l.Failed)))
		}
	}
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(out); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	return b.Bytes(), nil
}

func noteTexts(p recipes.Published, failed []*Card) string {
	var texts []string
	for _, c := range failed {
		texts = append(texts, fmt.Sprintf("seed %d failed: %s", c.Seed, c.Failed))
	}
	for _, n := range p.Notes {
		texts = append(texts, n.Column+": "+n.Text)
	}
	return strings.Join(texts, "; ")
}

// WriteTable writes table.txt, .md, .csv and .png and tradeoff.png of all cards of the folder; nothing where there are none.
func (b *Benchmark) WriteTable() error {
	cards, err := b.Cards()
	if err != nil || len(cards) == 0 {
		return err
	}
	t := Table(cards)
	text, err := t.Text()
	if err != nil {
		return err
	}
	markdown, err := t.Markdown()
	if err != nil {
		return err
	}
	values, err := CSV(cards)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"table.txt": []byte(text), "table.md": []byte(markdown), "table.csv": values} {
		if err := write(filepath.Join(b.Dir, name), content); err != nil {
			return err
		}
	}
	fig, err := t.Figure()
	if err != nil {
		return err
	}
	if err := viz.Save(fig, filepath.Join(b.Dir, "table.png")); err != nil {
		return err
	}
	if fig, err = Tradeoff(cards); err != nil || fig == nil {
		return err
	}
	return viz.Save(fig, filepath.Join(b.Dir, "tradeoff.png"))
}
