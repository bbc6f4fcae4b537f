package viz

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"html"
	"image"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Table is a table of strings, written as plain text, in three languages, or drawn.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string // each as long as Header
	Bold   [][2]int   // {row, column} of cells to set in bold, such as the best of a column
	Notes  []string   // footnotes, one a line below the table; CSV has none
}

func (t *Table) check() error {
	if t == nil || len(t.Header) == 0 {
		return fmt.Errorf("viz: table: no columns: want a header of at least one")
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Header) {
			return fmt.Errorf("viz: table %q: row %d has %d cells for %d columns: want as many", t.Title, i, len(row), len(t.Header))
		}
	}
	for _, b := range t.Bold {
		if b[0] < 0 || b[0] >= len(t.Rows) || b[1] < 0 || b[1] >= len(t.Header) {
			return fmt.Errorf("viz: table %q: bold cell {%d, %d}: want a row below %d and a column below %d", t.Title, b[0], b[1], len(t.Rows), len(t.Header))
		}
	}
	return nil
}

// numeric tells whether all cells of a column look like numbers, which are
// aligned at the right. Empty cells and dashes do not count.
func (t *Table) numeric(col int) bool {
	seen := false
	for _, row := range t.Rows {
		s := strings.TrimLeft(strings.TrimSpace(row[col]), "+-−±~<>≤≥")
		if s == "" || s == "–" || s == "—" || s == "n/a" || s == "NaN" {
			continue
		}
		if !unicode.IsDigit(rune(s[0])) {
			return false
		}
		seen = true
	}
	return seen
}

func (t *Table) bold(row, col int) bool { return slices.Contains(t.Bold, [2]int{row, col}) }

// Text is the table for a terminal: columns as wide as they need, two spaces
// between them, numbers at the right; cells are one line each.
func (t *Table) Text() (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for col, s := range row {
			widths[col] = max(widths[col], utf8.RuneCountInString(clean(s)))
		}
	}
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "%s\n\n", clean(t.Title))
	}
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		var line strings.Builder
		for col, s := range row {
			width := widths[col]
			if !t.numeric(col) {
				width = -width
			}
			fmt.Fprintf(&line, "%*s  ", width, clean(s))
		}
		fmt.Fprintln(&b, strings.TrimRight(line.String(), " "))
	}
	for i, note := range t.Notes {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, clean(note))
	}
	return b.String(), nil
}

// Markdown is the table in GitHub's Markdown.
func (t *Table) Markdown() (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	escape := strings.NewReplacer("|", `\|`, "\r\n", "<br>", "\n", "<br>")
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "**%s**\n\n", escape.Replace(t.Title))
	}
	line := func(cell func(col int) string) {
		for col := range t.Header {
			fmt.Fprintf(&b, "| %s ", cell(col))
		}
		b.WriteString("|\n")
	}
	line(func(col int) string { return escape.Replace(t.Header[col]) })
	line(func(col int) string {
		if t.numeric(col) {
			return "---:"
		}
		return ":---"
	})
	for i, row := range t.Rows {
		line(func(col int) string {
			if s := escape.Replace(row[col]); !t.bold(i, col) || s == "" {
				return s
			}
			return "**" + escape.Replace(row[col]) + "**"
		})
	}
	for _, note := range t.Notes {
		fmt.Fprintf(&b, "\n%s\n", strings.NewReplacer("\r\n", " ", "\n", " ").Replace(note))
	}
	return b.String(), nil
}

// HTML is the table as one <table> element; all text is escaped.
func (t *Table) HTML() (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	escape := func(s string) string { return strings.ReplaceAll(html.EscapeString(s), "\n", "<br>") }
	var b strings.Builder
	b.WriteString("<table>\n")
	if t.Title != "" {
		fmt.Fprintf(&b, "<caption>%s</caption>\n", escape(t.Title))
	}
	align := make([]string, len(t.Header))
	b.WriteString("<thead><tr>")
	for col, s := range t.Header {
		align[col] = "left"
		if t.numeric(col) {
			align[col] = "right"
		}
		fmt.Fprintf(&b, `<th style="text-align:%s">%s</th>`, align[col], escape(s))
	}
	b.WriteString("</tr></thead>\n<tbody>\n")
	for i, row := range t.Rows {
		b.WriteString("<tr>")
		for col, s := range row {
			s = escape(s)
			if t.bold(i, col) {
				s = "<strong>" + s + "</strong>"
			}
			fmt.Fprintf(&b, `<td style="text-align:%s">%s</td>`, align[col], s)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody>\n")
	if len(t.Notes) > 0 {
		fmt.Fprintf(&b, "<tfoot><tr><td colspan=\"%d\" style=\"text-align:left\">", len(t.Header))
		for i, note := range t.Notes {
			if i > 0 {
				b.WriteString("<br>")
			}
			b.WriteString(escape(note))
		}
		b.WriteString("</td></tr></tfoot>\n")
	}
	b.WriteString("</table>\n")
	return b.String(), nil
}

// CSV is header and rows in RFC 4180's comma-separated values; no title.
func (t *Table) CSV() (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(append([][]string{t.Header}, t.Rows...)); err != nil {
		return "", fmt.Errorf("viz: table %q: %w", t.Title, err)
	}
	return b.String(), nil
}

// Figure draws the table, columns as wide as they need; cells wider than 8 cm
// and notes wider than the table are wrapped.
func (t *Table) Figure() (*Figure, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	const (
		maxCell = 8 * pxPerCM
		pad     = 14
		maxRows = 8 // lines in a cell
	)
	head := wrapRow(t.Header, maxCell, maxRows)
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = wrapRow(row, maxCell, maxRows)
	}
	widths := make([]int, len(t.Header))
	for col := range t.Header {
		w := textWidth(boldFont, head[col])
		for _, row := range rows {
			w = max(w, textWidth(boldFont, row[col]))
		}
		widths[col] = int(w) + 2*pad
	}
	width := sum(widths) + 2*outer
	if t.Title != "" {
		width = max(width, min(int(textWidth(titleFont, clean(t.Title)))+2*outer+1, defPixels))
	}
	header := newHeader(t.Title, nil, width)
	var notes []string
	for _, note := range t.Notes {
		notes = append(notes, wrap(smallFont, note, float64(width-2*outer), maxRows)...)
	}
	height := header.height() + rowHeight(head) + outer
	if len(notes) > 0 {
		height += gap + len(notes)*int(lineHeight(smallFont))
	}
	for _, row := range rows {
		height += rowHeight(row)
	}
	p, err := newPage(width, height)
	if err != nil {
		return nil, fmt.Errorf("viz: table %q: %w", t.Title, err)
	}
	y := header.write(p)
	xEnd := outer + sum(widths)
	p.fill(image.Rect(outer, y-2, xEnd, y), ink)
	line := func(row []string, bold func(col int) bool) {
		x := outer
		for col, s := range row {
			f := labelFont
			if bold(col) {
				f = boldFont
			}
			pos, anchor := float64(x+pad), left
			if t.numeric(col) {
				pos, anchor = float64(x+widths[col]-pad), right
			}
			p.text(f, ink, pos, float64(y+rowPad), anchor, top, s)
			x += widths[col]
		}
		y += rowHeight(row)
	}
	line(head, func(int) bool { return true })
	p.hline(outer, xEnd, y-2, ink)
	for i, row := range rows {
		if i > 0 {
			p.hline(outer, xEnd, y-2, gridGrey)
		}
		line(row, func(col int) bool { return t.bold(i, col) })
	}
	p.fill(image.Rect(outer, y-2, xEnd, y), ink)
	if len(notes) > 0 {
		p.text(smallFont, softInk, outer, float64(y+gap), left, top, strings.Join(notes, "\n"))
	}
	return p.figure(), nil
}

const rowPad = 10

func wrapRow(cells []string, width float64, lines int) []string {
	out := make([]string, len(cells))
	for i, s := range cells {
		out[i] = wrapped(boldFont, s, width, lines)
	}
	return out
}

// rowHeight fits the tallest of the cells.
func rowHeight(cells []string) int {
	lines := 1
	for _, s := range cells {
		lines = max(lines, strings.Count(s, "\n")+1)
	}
	return 2*rowPad + int(capHeight(labelFont)) + (lines-1)*int(lineHeight(labelFont))
}
