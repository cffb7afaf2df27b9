"""Package metadata, all of it read from `settings.ini`, the one file nbdev keeps it in."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

# On PyPI a picture must have a full address; on GitHub and in a checkout the README's relative one works.
pictures = f"]({settings['git_url']}/raw/main/README_files/"
readme = Path("README.md").read_text(encoding="utf-8").replace("](README_files/", pictures)

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=readme,
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    url=settings["git_url"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=settings["keywords"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["fkp_nb", "fkp_nb.*"]),
    package_data={"fkp_nb": ["py.typed", "detector/*", "tables/*", "weights/*"]},
    python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(),
    extras_require={
        extra: settings[f"{extra}_requirements"].split()
        for extra in ("tensorflow", "jax", "onnx", "export", "kaggle", "dev")
    },
    entry_points={
        "console_scripts": [line.strip() for line in settings["console_scripts"].splitlines()],
        "nbdev": [f"{settings['lib_name']}={settings['lib_name']}._modidx:d"],
    },
    zip_safe=False,
)
