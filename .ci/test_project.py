"""What no other tool checks: the notebooks' stored outputs, their cells for Colab, their place in the sidebar, and the imports."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = [path for path in sorted(Path("nbs").glob("**/[!.]*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
FORBIDDEN = {
    "a traceback": r"Traceback \(most recent call last\)",
    "an absolute path": r"(?<![\w.:/<-])/(?:home|root|tmp|Users|work|workspace|private|content|opt|usr|var|mnt|srv|kaggle)/"
    r"|\b[A-Z]:\\|file://",
    "the debris of a progress bar or terminal colours": r"\x08|\r(?!\n)|\x1b\[",
}


def cells_of(notebook: Path) -> list[dict]:
    """Read a notebook's cells, each source as one string."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def has_result(source: str) -> bool:
    """Tell whether a cell can end in a result."""
    *_, last = [None, *ast.parse(re.sub(r"^[%!].*", "", source, flags=re.MULTILINE)).body]
    if not isinstance(last, ast.Expr):
        return False
    function = last.value.func if isinstance(last.value, ast.Call) else None
    return getattr(function, "id", "") not in ("print", "test_eq", "test_close", "test_fail")


def faults_of(source: str, outputs: list[dict]) -> list[str]:
    """Name what is wrong with the stored outputs of one code cell."""
    faults = []
    for output in outputs:
        faults += ["an error"] * (output["output_type"] == "error") + ["stderr"] * (output.get("name") == "stderr")
        if output["output_type"] == "execute_result" and not has_result(source):
            faults.append("a result that this code does not have: clear the outputs and run the notebook")
        parts = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
        text = "\n".join("".join(part) for part in parts)
        faults += [name for name, pattern in FORBIDDEN.items() if re.search(pattern, text)]
    pictures = [kind for output in outputs for kind in output.get("data", {}) if kind.startswith("image/")]
    if re.search(r"^#\| *label: *fig-", source, re.MULTILINE) and not pictures:
        faults.append("a labelled figure without a picture: run the notebook and keep its outputs")
    return faults


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_stored_outputs(notebook: Path) -> None:
    """A reader sees no error, no noise, no path of somebody's machine and no result of older code."""
    cells = [(n, cell) for n, cell in enumerate(cells_of(notebook)) if cell["cell_type"] == "code"]
    faults = [f"cell {n}: {fault}" for n, cell in cells for fault in faults_of(cell["source"], cell["outputs"])]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("fault", "source", "output"),
    [
        ("stderr", "", {"output_type": "stream", "name": "stderr", "text": "x"}),
        ("an absolute path", "", {"output_type": "stream", "text": ["in /home/me/data"]}),
        ("an error", "", {"output_type": "error"}),
        ("a labelled figure", "#| label: fig-a\nplot()", {"output_type": "stream", "text": "x"}),
        ("a result", "x = 1\ntest_eq(x, 1)", {"output_type": "execute_result"}),
        ("", "x = 1\nx", {"output_type": "execute_result"}),
        ("", "", {"output_type": "stream", "text": "runs/first, 3/4, https://host.org/tmp/x, a/tmp/b"}),
    ],
)
def test_faults_are_seen(fault: str, source: str, output: dict) -> None:
    """Each fault is named, and what is innocent is not."""
    found = faults_of(source, [output])
    assert len(found) == bool(fault) and all(line.startswith(fault) for line in found)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_colab(notebook: Path) -> None:
    """After its front matter a notebook has the index's link to Colab, and its cell that gets the project there."""
    link, setup = (cell["source"] for cell in cells_of(Path("nbs/index.ipynb"))[1:3])
    wanted = [
        link.replace("nbs/index.ipynb", str(notebook)),
        setup.replace("project/nbs", f"project/{notebook.parent}"),
    ]
    cells = cells_of(notebook)
    if any(cell["cell_type"] == "code" for cell in cells):
        assert [cell["source"] for cell in cells[1:3]] == wanted


def test_sidebar() -> None:
    """Each notebook has its place in the sidebar."""
    listed = re.findall(r"[\w/]+\.ipynb", Path("nbs/sidebar.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == [str(path.relative_to("nbs")) for path in NOTEBOOKS]


def test_imports_go_down() -> None:
    """A module imports from lower numbers only; the study is imported by nothing outside of it."""
    modules = {path: path.read_text(encoding="utf-8") for path in Path("fkp_nb").glob("*.py")}
    numbers = {path.stem: re.search(r"File to edit: \S+/(\d+)_", text) for path, text in modules.items()}
    for path, text in modules.items():
        for imported in re.findall(r"^\s*from (?:fkp_nb)?\.(\w+)(?:\.\w+)* import", text, re.MULTILINE):
            assert imported != "study", f"{path} imports the study"
            here, there = numbers[path.stem], numbers[imported]
            assert not here or not there or there[1] < here[1], f"{path} imports {imported}, a later chapter"


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("core", "keras matplotlib pandas scipy tensorflow"),
        ("commands detection inference photo", "fastcore keras matplotlib pandas scipy sklearn tensorflow"),
        ("data metrics splits submission", "keras tensorflow"),
    ],
)
def test_light_imports(modules: str, heavy: str) -> None:
    """Some modules do not wait for what they do not need."""
    names = ", ".join(f"fkp_nb.{name}" for name in modules.split())
    script = f"import {names}, sys; print(*set('{heavy}'.split()) & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == ""
