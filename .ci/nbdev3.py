#!/usr/bin/env python3
"""Hold the project against nbdev 3: pyproject.toml says what settings.ini says, and the export is the same package.

It runs with nbdev 3, which does not go with nbdev 2 in one environment; pre-commit makes it one of its own.
"""

import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

from nbdev.config import get_config, nbdev_defaults

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
settings, table = config["DEFAULT"], get_config().d
for key in (*nbdev_defaults, "lib_path", "title", "update_pyproject"):
    if key in settings and str(table.get(key)) != settings[key]:
        sys.exit(f"pyproject.toml, [tool.nbdev]: {key} is {table.get(key)}, and {settings[key]} in settings.ini")

with tempfile.TemporaryDirectory() as copy:
    subprocess.run(f"git ls-files -zco --exclude-standard | xargs -0 cp --parents -t {copy}", shell=True)
    for path in Path(copy, "fkp_nb").glob("**/*.py"):
        if path.name != "__init__.py":  # in which nbdev 3 finds the version
            path.unlink()
    subprocess.run("nbdev-export", cwd=copy, check=True)
    # nbdev 3 takes the project's addresses, which _modidx.py repeats, from [project] only; here setup.py states them.
    addresses = "'branch'\\|'doc_\\|'git_url'\\|'lib_path'"
    if subprocess.run(["diff", "-r", "-x", "__pycache__", "-I", addresses, "fkp_nb", f"{copy}/fkp_nb"]).returncode:
        sys.exit("fkp_nb/ is not what the notebooks export: run nbdev_export, and remove what no notebook writes")
