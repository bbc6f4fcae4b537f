package notebooks

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A GoNB cell is a program: the declarations of all cells so far, and the lines after %% as the body of main. This file
// builds those programs from a notebook, so that they can be type-checked without Jupyter.

// cell is one cell of a notebook file.
type cell struct {
	Type    string          `json:"cell_type"`
	Source  text            `json:"source"`
	Outputs []cellOutput    `json:"outputs"`
	Ignored json.RawMessage `json:"metadata"`
}

type cellOutput struct {
	Type string          `json:"output_type"`
	Text text            `json:"text"`
	Data map[string]text `json:"data"`
}

// text is a string, or a list of lines, as notebooks have both. Other values (embedded JSON) count as empty.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	var lines []string
	if json.Unmarshal(raw, &lines) == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	*t = text(s)
	return nil
}

func readNotebook(file string) ([]cell, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var notebook struct{ Cells []cell }
	if err := json.Unmarshal(raw, &notebook); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return notebook.Cells, nil
}

// split takes a cell's Go code apart: declarations and the body of main. Lines for GoNB and for the shell become empty,
// so that line numbers stay. Cells that are not Go (%%writefile, %%bash ...) give nothing.
func split(source string) (declarations, body string, hasBody bool) {
	lines := strings.Split(source, "\n")
	blank := make([]string, len(lines))
	decl, main := slices.Clone(blank), slices.Clone(blank)
	inShell := false
	for i, line := range lines {
		command := strings.TrimPrefix(line, "//gonb:")
		word, rest, _ := strings.Cut(command, " ")
		switch {
		case inShell || strings.HasPrefix(command, "!"):
			inShell = strings.HasSuffix(line, `\`)
		case word == "%%" || word == "%main":
			hasBody = true
		case word == "%exec":
			hasBody = true
			function, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			main[i] = function + "()"
		case strings.HasPrefix(command, "%%"), word == "%wasm", word == "%test":
			return "", "", false
		case strings.HasPrefix(command, "%"):
		case hasBody:
			main[i] = line
		default:
			decl[i] = line
		}
	}
	return strings.Join(decl, "\n"), strings.Join(main, "\n"), hasBody
}

// declaration is the text of one top-level declaration and where it stood.
type declaration struct {
	names []string // what it declares; methods as "Type.Method"
	code  string
	at    string // as in a line directive: file:line
}

// memory is what GoNB carries from cell to cell.
type memory struct {
	imports map[string]string // by the name that code uses, the import spec
	kept    []declaration
}

// add parses a cell and returns the program that GoNB would build of it, or an error that names the place.
func (m *memory) add(name, source string) (program string, err error) {
	decl, body, hasBody := split(source)
	next := memory{imports: maps.Clone(m.imports), kept: slices.Clone(m.kept)}
	if next.imports == nil {
		next.imports = map[string]string{}
	}
	const header = "package main; "
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, header+decl, parser.ParseComments)
	if err != nil {
		return "", err
	}
	own := ""
	for _, d := range parsed.Decls {
		start := files.Position(d.Pos())
		code := (header + decl)[start.Offset:files.Position(d.End()).Offset]
		at := fmt.Sprintf("%s:%d", name, start.Line)
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" {
			own = fmt.Sprintf("//line %s\n%s\n", at, code)
			continue
		}
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			for _, spec := range g.Specs {
				if err := next.addImport(spec.(*ast.ImportSpec)); err != nil {
					return "", fmt.Errorf("%s: %w", at, err)
				}
			}
			continue
		}
		next.keep(declaration{namesOf(d), code, at})
	}
	if own == "" {
		own = "func main() {\n"
		if hasBody {
			own += fmt.Sprintf("//line %s:1\n%s\n", name, body)
		}
		own += "}\n"
	}
	var b strings.Builder
	for _, d := range next.kept {
		fmt.Fprintf(&b, "//line %s\n%s\n", d.at, d.code)
	}
	b.WriteString(own)
	program = "package main\n\n" + next.usedImports(b.String()) + b.String()
	*m = next
	return program, nil
}

func (m *memory) addImport(spec *ast.ImportSpec) error {
	file, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return err
	}
	name := path.Base(file)
	if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(file))
	}
	if spec.Name != nil {
		name = spec.Name.Name
	}
	switch name {
	case ".":
		return fmt.Errorf("dot import of %s: GoNB cannot drop it in cells that do not use it", file)
	case "_":
		name = "_ " + file
		m.imports[name] = "_ " + spec.Path.Value
	default:
		m.imports[name] = name + " " + spec.Path.Value
	}
	return nil
}

// keep remembers a declaration in place of earlier ones of the same names.
func (m *memory) keep(d declaration) {
	m.kept = slices.DeleteFunc(m.kept, func(old declaration) bool {
		return slices.ContainsFunc(old.names, func(n string) bool { return slices.Contains(d.names, n) })
	})
	m.kept = append(m.kept, d)
}

// usedImports writes the imports that code refers to, as goimports leaves them.
func (m *memory) usedImports(code string) string {
	used := map[string]bool{}
	if f, err := parser.ParseFile(token.NewFileSet(), "", "package main\n"+code, 0); err == nil {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					used[x.Name] = true
				}
			}
			return true
		})
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.imports)) {
		if used[name] || strings.HasPrefix(name, "_ ") {
			fmt.Fprintf(&b, "import %s\n", m.imports[name])
		}
	}
	return b.String()
}

// namesOf lists what a declaration declares.
func namesOf(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		receiver := d.Recv.List[0].Type
		for {
			switch t := receiver.(type) {
			case *ast.StarExpr:
				receiver = t.X
				continue
			case *ast.IndexExpr:
				receiver = t.X
				continue
			case *ast.IndexListExpr:
				receiver = t.X
				continue
			}
			return []string{fmt.Sprintf("%v.%s", receiver, d.Name.Name)}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.Name != "_" {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}
