// Package notebooks holds no code of its own, only tests of the notebooks beside it.
package notebooks

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// connect is the first cell of every notebook.
const connect = `!*"$GONB_DIR/connect"`

// maxLines is where a cell's code should have become a function of a package.
const maxLines = 40

// Every Go cell of every notebook compiles against the module as it is, with what the cells before it declare.
func TestNotebooksCompile(t *testing.T) {
	files, err := filepath.Glob("*.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no notebooks found")
	}
	programs := map[string]string{}
	for _, file := range files {
		cells, err := readNotebook(file)
		if err != nil {
			t.Fatal(err)
		}
		compose(t, file, cells, programs)
	}
	for _, complaint := range check(t, programs) {
		t.Error(complaint)
	}
}

// Habits that keep notebooks readable and working for the next person.
func TestNotebooksForm(t *testing.T) {
	files, _ := filepath.Glob("*.ipynb")
	home, _ := os.UserHomeDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		cells, err := readNotebook(file)
		if err != nil {
			t.Fatal(err)
		}
		number := 0
		for _, c := range cells {
			if c.Type != "code" {
				continue
			}
			number++
			name := fmt.Sprintf("%s[cell %d]", file, number)
			if number == 1 && strings.TrimSpace(string(c.Source)) != connect {
				t.Errorf("%s: the first code cell is %q, want %q", name, c.Source, connect)
			}
			if lines := strings.Count(strings.TrimSpace(string(c.Source)), "\n") + 1; lines > maxLines {
				t.Errorf("%s has %d lines, more than %d: move code into a package", name, lines, maxLines)
			}
			for _, out := range c.Outputs {
				if out.Type == "error" {
					t.Errorf("%s holds the output of a failed run", name)
				}
				shown := string(out.Text)
				for _, data := range out.Data {
					shown += string(data)
				}
				for _, place := range []string{root, home} {
					if len(place) > 1 && strings.Contains(shown, place+"/") {
						t.Errorf("%s shows a path of this machine (%s)", name, place)
					}
				}
			}
		}
	}
}

// The checker itself: what GoNB accepts passes, what it rejects is reported with notebook, cell and line.
func TestChecker(t *testing.T) {
	cases := []struct {
		name  string
		cells []string
		want  string // part of the complaint; empty means none
	}{
		{"shell only", []string{connect, "!ls \\\n  -l\n%env A=b"}, ""},
		{"other language", []string{"%%writefile x.py\nimport os"}, ""},
		{"memory", []string{"import \"fmt\"\n\ntype pair struct{ a, b int }", "func (p *pair) sum() int { return p.a + p.b }",
			"%%\nfmt.Println((&pair{1, 2}).sum())"}, ""},
		{"redefined", []string{"func f() int { return 1 }", "func f() string { return \"\" }", "%%\nvar s string = f()\n_ = s"}, ""},
		{"unused import is dropped", []string{"import \"fmt\"\n%%\nfmt.Println()", "%%\nprintln()"}, ""},
		{"own main", []string{"func main() { println() }", "func main() {}"}, ""},
		{"exec", []string{"func run() {}\n%exec run --flag=1"}, ""},
		{"library", []string{"import \"cure/cureml/backend\"\n%%\n_, _ = backend.Find()"}, ""},
		{"values do not live on", []string{"%%\nx := 1\n_ = x", "%%\n_ = x"}, "[cell 2]:2: undefined: x"},
		{"wrong type", []string{"\n\nvar n int = \"text\""}, "[cell 1]:3: cannot use"},
		{"no such function", []string{"import \"cure/cureml/backend\"", "\n%%\nbackend.Missing()"}, "[cell 2]:3: undefined: backend.Missing"},
		{"unused variable", []string{"%%\nx := 1"}, "[cell 1]:2: declared and not used: x"},
	}
	programs := map[string]string{}
	for i, c := range cases {
		var cells []cell
		for _, source := range c.cells {
			cells = append(cells, cell{Type: "code", Source: text(source)})
		}
		compose(t, fmt.Sprintf("case%02d.ipynb", i), cells, programs)
	}
	complaints := strings.Join(check(t, programs), "\n")
	for i, c := range cases {
		file := fmt.Sprintf("case%02d.ipynb", i)
		switch {
		case c.want == "" && strings.Contains(complaints, file):
			t.Errorf("%s: complaints about a good notebook:\n%s", c.name, complaints)
		case c.want != "" && !strings.Contains(complaints, file+c.want):
			t.Errorf("%s: no complaint %q in:\n%s", c.name, file+c.want, complaints)
		}
	}
	var m memory
	if _, err := m.add("x.ipynb[cell 1]", "import . \"fmt\""); err == nil || !strings.Contains(err.Error(), "dot import") {
		t.Errorf("dot import: got error %v", err)
	}
	if _, err := m.add("x.ipynb[cell 1]", "func {"); err == nil || !strings.Contains(err.Error(), "[cell 1]:1") {
		t.Errorf("syntax error: got error %v", err)
	}
}

// compose adds the programs of a notebook's cells, by the name of a folder for each.
func compose(t *testing.T, file string, cells []cell, programs map[string]string) {
	t.Helper()
	var m memory
	number := 0
	for _, c := range cells {
		if c.Type != "code" {
			continue
		}
		number++
		program, err := m.add(fmt.Sprintf("%s[cell %d]", file, number), string(c.Source))
		if err != nil {
			t.Error(err)
			continue
		}
		programs[fmt.Sprintf("check_%s_%d", strings.TrimSuffix(file, ".ipynb"), number)] = program
	}
}

// check type-checks programs against this module and its dependencies, and returns what is wrong where.
func check(t *testing.T, programs map[string]string) (complaints []string) {
	t.Helper()
	files := token.NewFileSet()
	parsed := map[string]*ast.File{}
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "runtime"}
	for name, program := range programs {
		f, err := parser.ParseFile(files, name, program, parser.SkipObjectResolution)
		if err != nil {
			complaints = append(complaints, err.Error())
			continue
		}
		parsed[name] = f
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(args, path) {
				args = append(args, path)
			}
		}
	}
	cmd := exec.Command("go", args...)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	export := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		export[path] = file
	}
	config := types.Config{
		Importer: importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(export[path]) }),
		Error:    func(err error) { complaints = append(complaints, err.Error()) },
	}
	for name, f := range parsed {
		_, _ = config.Check(name, files, []*ast.File{f}, nil) // errors arrive one by one
	}
	return complaints
}
