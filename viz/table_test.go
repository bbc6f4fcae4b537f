package viz

import (
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func ExampleTable_Markdown() {
	t := &Table{
		Header: []string{"method", "natural", "PGD-20"},
		Rows:   [][]string{{"TRADES", "83.1", "52.3"}, {"CURE", "86.8", "54.1"}},
		Bold:   [][2]int{{1, 1}, {1, 2}},
	}
	text, err := t.Markdown()
	fmt.Println(text, err)
	// Output:
	// | method | natural | PGD-20 |
	// | :--- | ---: | ---: |
	// | TRADES | 83.1 | 52.3 |
	// | CURE | **86.8** | **54.1** |
	//  <nil>
}

func TestTableEscapesMarkdown(t *testing.T) {
	got, err := testTable.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	want := `**Results \| CIFAR-10**

| method | natural | PGD-20 | note |
| :--- | ---: | ---: | :--- |
| TRADES | 83.1 ± 0.2 | 52.3 | a\|b <i> & "c" |
| CURE | **86.8 ± 0.3** | n/a | two<br>lines |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableHTMLKeepsTheText(t *testing.T) {
	text, err := testTable.HTML()
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		Text   string   `xml:",chardata"`
		Strong string   `xml:"strong"`
		Br     []string `xml:"br"`
		Style  string   `xml:"style,attr"`
	}
	var got struct {
		Caption string `xml:"caption"`
		Head    []cell `xml:"thead>tr>th"`
		Rows    []struct {
			Cells []cell `xml:"td"`
		} `xml:"tbody>tr"`
	}
	if err := xml.Unmarshal([]byte(strings.ReplaceAll(text, "<br>", "<br/>")), &got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if got.Caption != testTable.Title || len(got.Head) != 4 || len(got.Rows) != 2 {
		t.Fatalf("caption %q, %d columns, %d rows in\n%s", got.Caption, len(got.Head), len(got.Rows), text)
	}
	for i, row := range testTable.Rows {
		for j, want := range row {
			c := got.Rows[i].Cells[j]
			if s := c.Text + c.Strong; s != strings.ReplaceAll(want, "\n", "") {
				t.Errorf("cell (%d, %d) reads %q, want %q", i, j, s, want)
			}
			if bold := c.Strong != ""; bold != testTable.bold(i, j) {
				t.Errorf("cell (%d, %d) bold: %v", i, j, bold)
			}
			if right := strings.Contains(c.Style, "right"); right != (j == 1 || j == 2) {
				t.Errorf("cell (%d, %d) at the right: %v, want numbers only", i, j, right)
			}
		}
	}
}

func ExampleTable_Text() {
	text, err := notedTable.Text()
	fmt.Print(text, err)
	// Output:
	// method                 NRR  minutes
	// TRADES               62.57     76.1
	// CURE, all of it  65.04 [1]        –
	//
	// [1] printed so; the harmonic mean of 86.76 and 52.48 is 65.40, which is what <b>all</b> other rows have
	// second note
	// <nil>
}

// Notes stand below the table in every form but CSV, escaped where the form needs it.
func TestTableNotes(t *testing.T) {
	md, err := notedTable.Markdown()
	if err != nil || !strings.HasSuffix(md, "| CURE, all of it | 65.04 [1] | – |\n\n[1] printed so; the harmonic mean of 86.76 and 52.48 is 65.40, which is what <b>all</b> other rows have\n\nsecond note\n") {
		t.Errorf("Markdown (%v):\n%s", err, md)
	}
	html, err := notedTable.HTML()
	if err != nil || !strings.Contains(html, `<td colspan="3" style="text-align:left">[1] printed`) || !strings.Contains(html, "&lt;b&gt;all") || !strings.Contains(html, "<br>second<br>note</td>") {
		t.Errorf("HTML (%v):\n%s", err, html)
	}
	csv, err := notedTable.CSV()
	if err != nil || strings.Contains(csv, "printed") {
		t.Errorf("CSV (%v):\n%s", err, csv)
	}
	text, err := testTable.Text()
	if err != nil || !strings.HasPrefix(text, "Results | CIFAR-10\n\nmethod  ") || !strings.Contains(text, "two lines") {
		t.Errorf("text (%v):\n%s", err, text)
	}
}

func TestTableCSVReadsBack(t *testing.T) {
	text, err := testTable.CSV()
	if err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := append([][]string{testTable.Header}, testTable.Rows...); !reflect.DeepEqual(got, want) {
		t.Errorf("read back %q, want %q", got, want)
	}
}

func TestTableErrors(t *testing.T) {
	for name, table := range map[string]*Table{
		"no columns":   {Title: "x"},
		"nil":          nil,
		"ragged":       {Header: []string{"a", "b"}, Rows: [][]string{{"1", "2"}, {"3"}}},
		"bold outside": {Header: []string{"a"}, Rows: [][]string{{"1"}}, Bold: [][2]int{{1, 0}}},
	} {
		_, tx := table.Text()
		_, md := table.Markdown()
		_, ht := table.HTML()
		_, cs := table.CSV()
		_, fi := table.Figure()
		for form, err := range map[string]error{"Text": tx, "Markdown": md, "HTML": ht, "CSV": cs, "Figure": fi, "Show": Show(table)} {
			if err == nil || !strings.HasPrefix(err.Error(), "viz: ") {
				t.Errorf("%s, %s: error %v, want one from viz", name, form, err)
			}
		}
	}
	empty := &Table{Header: []string{"a"}}
	if _, err := empty.Figure(); err != nil {
		t.Errorf("a table without rows: %v", err)
	}
}
