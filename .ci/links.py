#!/usr/bin/env python3
"""Refuse links and cross-references, in notebooks and Markdown files, that lead nowhere. Looks at files only, never at the network."""

import json
import re
import sys
import tempfile
from configparser import ConfigParser
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?^ {0,3}\1`*\s*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"\]\(\s*<?([^()\s>]+(?:\([^()\s]*\)[^()\s>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)|<(?:a|img)\b[^>]*?(?:href|src)=\"([^\"]+)\""
)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
EXPLICIT = re.compile(r"\{[^}]*?#([\w:.-]+)[^}]*\}|\b(?:id|name)=\"([^\"]+)\"")
LABEL = re.compile(r"^#\|\s*label:\s*([\w-]+)", re.MULTILINE)
REFERENCE = re.compile(r"(?<![\w@./])@((?:fig|tbl|sec|eq|lst)-[\w-]*\w)")


def slugs(heading: str) -> set[str]:
    """Give the anchors that Pandoc and GitHub make of a heading."""
    text = re.sub(r"\{#[^}]*\}|[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
    github = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
    pandoc = re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", re.sub(r"[^\w\-. ]", "", text)))
    return {github, pandoc}


@dataclass
class Page:
    """One file: its prose, where it may be linked to, and what it is called on the published site."""

    path: Path
    prose: str
    anchors: set[str] = field(default_factory=set)
    output_file: str = ""


def read_page(path: Path) -> Page:
    """Read a notebook or a Markdown file."""
    if path.suffix != ".ipynb":
        text, code, output_file = path.read_text(encoding="utf-8"), "", ""
    else:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        of_kind = {
            k: "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == k)
            for k in ("markdown", "code", "raw")
        }
        text, code = of_kind["markdown"], of_kind["code"]
        named = re.search(r"^output-file:\s*(\S+)", of_kind["raw"], re.MULTILINE)
        output_file = named[1] if named else re.sub(r"^\d+[a-zA-Z0-9]*_", "", path.stem) + ".html"
    prose = FENCE.sub("", text)
    anchors = {slug for heading in HEADING.findall(prose) for slug in slugs(heading)}
    anchors |= {first or second for first, second in EXPLICIT.findall(prose)} | set(LABEL.findall(code))
    return Page(path, re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", prose), anchors, output_file)


def broken(root: Path) -> list[str]:
    """List every link and cross-reference of the project at `root` that leads nowhere."""
    config = ConfigParser(delimiters=["="])
    config.read(root / "settings.ini", encoding="utf-8")
    settings = config["DEFAULT"]
    site, blob = settings["doc_host"] + settings["doc_baseurl"] + "/", settings["git_url"] + "/blob/main/"
    notebooks = sorted((root / "nbs").glob("**/[!.]*.ipynb"))
    files = [*(f for f in notebooks if ".ipynb_checkpoints" not in f.parts), *sorted(root.glob("*.md"))]
    pages = {path.resolve(): read_page(path) for path in files}
    for page in pages.values():  # a page of a folder of notebooks is published in a folder of that name
        if page.output_file and page.path.parent != root / "nbs":
            page.output_file = (page.path.parent.relative_to(root / "nbs") / page.output_file).as_posix()
    by_name = {page.output_file: page for page in pages.values() if page.output_file}
    index = root / "fkp_nb" / "_modidx.py"
    documented = set(
        re.findall(r"\('([\w.-]+\.html#[\w.-]+)'", index.read_text(encoding="utf-8") if index.exists() else "")
    )

    def leads_nowhere(page: Page, link: str) -> bool:
        path, _, anchor = link.partition("#")
        if path.startswith(site):
            name = path[len(site) :] or "index.html"
            if name not in by_name:
                return True
            other = by_name[name]
        elif re.match(r"[a-z][a-z+.-]*:|//", link) and not path.startswith(blob):
            return False
        else:
            target = (
                root / path[len(blob) :] if path.startswith(blob) else page.path.parent / path if path else page.path
            )
            if not target.exists():
                return True
            if target.resolve() not in pages:
                return False
            other = pages[target.resolve()]
        return bool(anchor) and anchor not in other.anchors and f"{other.output_file}#{anchor}" not in documented

    faults = []
    for page in pages.values():
        name = page.path.relative_to(root)
        links = [first or second for first, second in LINK.findall(page.prose)]
        faults += [f"{name}: {link} leads nowhere" for link in links if leads_nowhere(page, link)]
        faults += [
            f"{name}: @{label} is defined nowhere in it"
            for label in REFERENCE.findall(page.prose)
            if label not in page.anchors
        ]
    sidebar = root / "nbs" / "sidebar.yml"
    listed = re.findall(r"[\w/-]+\.ipynb", sidebar.read_text(encoding="utf-8")) if sidebar.exists() else []
    present = [str(path.relative_to(root / "nbs")) for path in files if path.suffix == ".ipynb"] if listed else []
    faults += [f"nbs/sidebar.yml: {name} does not exist" for name in listed if name not in present]
    return faults + [f"nbs/sidebar.yml: {name} is not listed" for name in present if name not in listed]


def self_test() -> None:
    """Check on a small project that good links pass and each kind of bad one is named."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "nbs").mkdir()
        (root / "settings.ini").write_text(
            "[DEFAULT]\ndoc_host=https://a.io\ndoc_baseurl=/p\ngit_url=https://h.com/a/p\n"
        )
        cells = [
            {"cell_type": "raw", "source": "---\noutput-file: a.html\n---"},
            {
                "cell_type": "markdown",
                "source": "## 1. One `x`-thing\n[own](#one-x-thing) @fig-a [r](../README.md#two)",
            },
            {
                "cell_type": "markdown",
                "source": "[x](b.ipynb) [y](#none) @fig-b `[no](link)` me@fig-x.org\n```\n[z](c)\n```",
            },
            {"cell_type": "code", "source": "#| label: fig-a\nplot()"},
        ]
        (root / "nbs" / "00_a.ipynb").write_text(json.dumps({"cells": cells}))
        good = "# Two\n[1](nbs/00_a.ipynb#fig-a) [2](https://a.io/p/a.html) [3](https://h.com/a/p/blob/main/README.md) [4](https://e.org/#x)"
        bad = "\n[5](https://a.io/p/b.html) ![6](https://h.com/a/p/blob/main/none.png)"
        (root / "README.md").write_text(good + bad)
        found = [fault.split(": ", 1)[1].split()[0] for fault in broken(root)]
        wanted = ["b.ipynb", "#none", "@fig-b", "https://a.io/p/b.html", "https://h.com/a/p/blob/main/none.png"]
        assert found == wanted, found


def main() -> None:
    """Check this project."""
    self_test()
    faults = broken(Path(__file__).resolve().parents[1])
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
