#!/usr/bin/env python3
"""Write README.md and its pictures from nbs/index.ipynb, by nbconvert: Quarto is not needed, and data frames become Markdown tables."""

import json
import re
import shutil

import nbformat
import yaml
from bs4 import BeautifulSoup
from execnb.nbio import nb2dict, read_nb
from jinja2 import DictLoader
from nbconvert import MarkdownExporter
from nbconvert.writers import FilesWriter
from nbdev.config import get_config
from nbdev.processors import FilterDefaults

HEAD = """<!-- Made from nbs/index.ipynb by .ci/readme.py: edit the notebook, then run that. -->

# {title}

> {description}

"""
TEMPLATE = """{% extends "markdown/index.md.j2" %}
{% block data_png %}{{ super() | replace("[png]", "[" + cell.metadata.caption + "]") }}{% endblock %}
{% block data_html scoped %}{{ output.data["text/html"] | pipe_table }}{% endblock %}"""


def pipe_table(html: str) -> str:
    """Turn the HTML of a data frame into a Markdown table."""
    rows = [
        [cell.get_text(" ", strip=True).replace("|", "\\|") for cell in row.find_all(["th", "td"])]
        for row in BeautifulSoup(html, "html.parser").find_all("tr")
    ]
    if not any(rows[1][1:]):  # the name of the index has a row of its own in pandas
        rows[0][0] = rows.pop(1)[0]
    rows.insert(1, ["---", *("--:" for _ in rows[0][1:])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


processed = read_nb("nbs/index.ipynb")
FilterDefaults()(processed)
notebook = nbformat.reads(json.dumps(nb2dict(processed)), as_version=4)
notebook.metadata.language_info = {"name": "python"}
front, _, *notebook.cells = notebook.cells  # the second is nbdev's note that it was here
pictures = 0
for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):  # do what Quarto does with its directives
    options = dict(re.findall(r"^#\| *([\w-]+): *\"?(.*?)\"? *$", cell.source, re.MULTILINE))
    cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE)
    cell.metadata.caption = options.get("fig-alt") or options.get("fig-cap", "")
    cell.metadata.transient = {"remove_source": options.get("echo") == "false" or not cell.source}
    cell.outputs = [] if options.get("output") == "false" else cell.outputs
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            output.data.pop("image/jpeg", None)  # Pillow gives both
            output.metadata.filename = f"figure-{(pictures := pictures + 1)}"

exporter = MarkdownExporter(extra_loaders=[DictLoader({"readme": TEMPLATE})], template_file="readme")
exporter.register_filter("pipe_table", pipe_table)
body, resources = exporter.from_notebook_node(notebook, {"output_files_dir": "README_files"})
body = re.sub(r"\n( *\n)+", "\n\n", HEAD.format(**yaml.safe_load(front.source.strip("-\n"))) + body.lstrip())
chapter = r"\]\((?!https?:)([\w/]*/)?(?:\d+\w*?_)?(\w+)\.ipynb(#[\w.-]+)?\)"  # published without its number
body = re.sub(chapter, rf"]({get_config().doc_host}{get_config().doc_baseurl}/\1\2.html\3)", body)
shutil.rmtree("README_files", ignore_errors=True)
FilesWriter(build_directory=".").write(body, resources, "README")
