"""The documentation site: `make site`."""

from pathlib import Path

project = "cathode"
author = "The cathode developers"
copyright = author  # noqa: A001 - Sphinx's name
release = version = (Path(__file__).parents[1] / "cathode" / "version.py").read_text().split('"')[-2]
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["notebooks", "_build"]
html_theme = "furo"
html_title = f"cathode {version}"
html_show_sphinx = False
html_copy_source = False
