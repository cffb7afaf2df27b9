#!/usr/bin/env python3
"""Give each notebook its link to Colab and the cell that gets the project there; with --check, only say what lacks them."""

import json
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETUP = """#| hide
# On Colab nothing of the project is there yet: get it, and go on in the folder of the notebooks.
if "google.colab" in str(get_ipython()):
    get_ipython().system("git clone -q --depth 1 {git_url} project")
    get_ipython().system("pip install -q './project[detect,export,litert,onnx]' hypothesis")
    get_ipython().run_line_magic("cd", "project/{folder}")"""
LINK = "[Open in Colab](https://colab.research.google.com/github/{user}/{repo}/blob/{branch}/{folder}/{name})"


def with_colab(notebook: dict, name: str, folder: str, settings: dict[str, str]) -> dict:
    """Give a notebook its two cells, after its front matter, in place of older ones."""
    if not any(cell["cell_type"] == "code" for cell in notebook["cells"]):
        return notebook  # nothing to run
    wanted = {
        "colab-link": LINK.format(name=name, folder=folder, **settings),
        "colab-setup": SETUP.format(folder=folder, **settings),
    }
    kept = [cell for cell in notebook["cells"] if cell["id"] not in wanted]
    lines = {key: text.splitlines(keepends=True) for key, text in wanted.items()}
    link = {"cell_type": "markdown", "id": "colab-link", "metadata": {}, "source": lines["colab-link"]}
    setup: dict[str, Any] = {"cell_type": "code", "id": "colab-setup", "metadata": {}, "source": lines["colab-setup"]}
    setup |= {"execution_count": None, "outputs": []}
    return {**notebook, "cells": [*kept[:1], link, setup, *kept[1:]]}


def main() -> None:
    """Look at every notebook."""
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    settings, lacking = dict(config["DEFAULT"]), []
    for path in sorted((ROOT / "nbs").glob("**/[!.]*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        notebook = with_colab(json.loads(text), path.name, path.parent.relative_to(ROOT).as_posix(), settings)
        wanted = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        if text != wanted:
            lacking.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(wanted, encoding="utf-8")
    if lacking and "--check" in sys.argv:
        sys.exit(
            f"{', '.join(lacking)}: run .ci/colab.py, which writes the link to Colab and the cell that goes with it"
        )


if __name__ == "__main__":
    main()
