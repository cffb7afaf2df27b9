#!/usr/bin/env python3
"""Refuse stored outputs that a reader should not see: stderr, tracebacks, progress bars, absolute paths, missing figures, results of older code."""

import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "a traceback": re.compile(r"Traceback \(most recent call last\)"),
    "an absolute path": re.compile(
        r"(?<![\w.:/<-])/(?:home|root|tmp|Users|work|workspace|private|content|opt|usr|var|mnt|srv|kaggle)/|\b[A-Z]:\\|file://"
    ),
    "the debris of a progress bar or terminal colours": re.compile(r"\x08|\r(?!\n)|\x1b\["),
}


def has_result(source: str) -> bool:
    """Tell whether a cell can end in a result; a cell of magics may."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return True
    if not body or not isinstance(body[-1], ast.Expr):
        return False
    function = body[-1].value.func if isinstance(body[-1].value, ast.Call) else None
    return getattr(function, "id", "") not in ("print", "test_eq", "test_close", "test_fail")


def faults_of(cell: dict) -> list[str]:
    """Name what is wrong with the stored outputs of one cell."""
    faults, source = [], "".join(cell["source"])
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            faults.append("an error")
        if output.get("name") == "stderr":
            faults.append("stderr")
        if output["output_type"] == "execute_result" and not has_result(source):
            faults.append("a result that this code does not have: clear the outputs and run the notebook")
        parts = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
        text = "\n".join("".join(part) for part in parts)
        faults += [name for name, pattern in FORBIDDEN.items() if pattern.search(text)]
    shown = "".join(key for output in cell.get("outputs", []) for key in output.get("data", {}))
    if cell["cell_type"] == "code" and re.search(r"^#\| *label: *fig-", source, re.MULTILINE) and "image/" not in shown:
        faults.append("a labelled figure without a picture: run the notebook and keep its outputs")
    return faults


def self_test() -> None:
    """Check that each fault is seen and that an innocent output is not refused."""

    def cell(source: str = "", **output: object) -> dict:
        return {"cell_type": "code", "source": [source], "outputs": [{"output_type": "stream", **output}]}

    assert faults_of(cell(name="stderr", text=["x"])) == ["stderr"]
    assert faults_of(cell(name="stdout", text=["in /home/me/data"])) == ["an absolute path"]
    assert faults_of(cell(output_type="error")) == ["an error"]
    assert len(faults_of(cell("#| label: fig-a\nplot()", name="stdout", text=["x"]))) == 1
    assert len(faults_of(cell("x = 1\ntest_eq(x, 1)", output_type="execute_result"))) == 1
    assert not faults_of(cell("x = 1\nx", output_type="execute_result"))
    assert not faults_of(cell(name="stdout", text=["runs/first, 3/4, https://host.org/tmp/x, a/tmp/b"]))


def main() -> None:
    """Look at every notebook."""
    self_test()
    found = 0
    for path in sorted((ROOT / "nbs").glob("**/[!.]*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            for fault in faults_of(cell):
                found += 1
                print(f"{path.relative_to(ROOT)}, cell {number}: {fault}")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
