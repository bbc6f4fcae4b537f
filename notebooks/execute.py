"""Executes a notebook without a browser, telling which cell is at work, and exports it as a page.

usage: execute.py NOTEBOOK [OUT_FOLDER]

Writes OUT_FOLDER/NAME.ipynb and OUT_FOLDER/NAME.html (default: the folder out beside the notebook) and prints the page's
path. With OUT_FOLDER "-" the outputs are kept in the notebook itself and no page is written. A cell that fails ends the
run with exit code 1; what was reached until then is written all the same.
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter


class Client(NotebookClient):
    """A notebook client that names the cell at work by its section and echoes what cells print."""

    def __init__(self, notebook, **settings):
        super().__init__(notebook, on_cell_execute=self.announce, on_cell_executed=self.conclude, **settings)
        self.code_cells = [i for i, c in enumerate(notebook.cells) if c.cell_type == "code"]
        self.started = 0.0

    def section(self, cell_index):
        """The nearest heading above a cell."""
        for cell in reversed(self.nb.cells[:cell_index]):
            headings = [line for line in cell.source.splitlines() if line.startswith("#")]
            if cell.cell_type == "markdown" and headings:
                return headings[-1].lstrip("# ")
        return ""

    def announce(self, cell, cell_index):
        self.started = time.monotonic()
        number = self.code_cells.index(cell_index) + 1
        print(f"cell {number}/{len(self.code_cells)}  {self.section(cell_index)}", flush=True)

    def conclude(self, cell, cell_index, execute_reply):
        seconds = time.monotonic() - self.started
        if seconds >= 10:
            print(f"  ({seconds:.0f} s)", flush=True)

    def output(self, outs, msg, display_id, cell_index):
        content = msg["content"]
        if msg["msg_type"] == "stream":
            for line in content["text"].splitlines():
                print("  " + line, flush=True)
        return super().output(outs, msg, display_id, cell_index)


def replace(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    source = Path(sys.argv[1]).resolve()
    in_place = sys.argv[2:] == ["-"]
    out = source.parent if in_place else Path(sys.argv[2]) if len(sys.argv) == 3 else source.parent / "out"
    try:
        notebook = nbformat.read(source, as_version=4)
    except OSError as e:
        print(f"execute.py: {source}: {e.strerror}", file=sys.stderr)
        return 1
    except nbformat.reader.NotJSONError:
        print(f"execute.py: {source} is not a notebook", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)

    if os.environ.get("CURE_PRESET") == "ci":  # networks too small to gain by oneDNN; every cell is a process that compiles
        os.environ.setdefault("CURE_CACHE", str(Path(__file__).resolve().parent.parent / ".cure" / "programs"))
    client = Client(notebook, timeout=None, kernel_name="gonb", resources={"metadata": {"path": str(source.parent)}})
    failure = None
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as e:
        failure = e
    for cell in notebook.cells:  # times of execution would make every run a change
        cell.metadata.pop("execution", None)
    if failure is None or not in_place:
        replace(out / source.name, nbformat.writes(notebook) + "\n")
    if not in_place:
        page = out / (source.stem + ".html")
        replace(page, HTMLExporter().from_notebook_node(notebook)[0])
        print(page)
    if failure is not None:
        print(f"execute.py: {source.name} failed:\n{failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
