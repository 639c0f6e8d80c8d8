"""The site: `make docs` builds it from the pages of this folder, the docstrings, the examples and the command line's help.

Pages that follow from code are written into `docs/_generated`, which git ignores, whenever the site is built. Nothing is
executed that takes longer than a second: figures are those that the examples made.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import site_pages  # noqa: E402

import scorefield  # noqa: E402

project = "scorefield"
author = "The scorefield authors"
project_copyright = "The scorefield authors, Apache-2.0"
version = release = scorefield.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
default_role = "literal"

myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_math_renderer = "mathml"  # drawn by the browser: no script, no network
html_theme = "furo"
html_title = f"scorefield {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["llms.txt"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2f55d4", "color-brand-content": "#2f55d4"},
    "dark_css_variables": {"color-brand-primary": "#8ea6f5", "color-brand-content": "#8ea6f5"},
}


def setup(app: object) -> None:
    app.add_html_math_renderer("mathml", (site_pages.inline_formula, None), (site_pages.block_formula, None))
    site_pages.write(HERE.parent, HERE / "_generated")
    app.connect("source-read", site_pages.linked)
    app.connect("autodoc-process-docstring", site_pages.restructured, priority=100)  # before napoleon's
