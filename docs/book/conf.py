"""Sphinx's settings for the book. ``build.py`` gathers the pages and calls Sphinx; it hands on what varies with -D."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(Path(__file__).parent)]

import docstrings  # noqa: E402

import minidl  # noqa: E402

project = "minidl"
author = copyright = "The minidl authors"
version = release = minidl.__version__
language = "en"
# A translation, zh for example, is catalogues of messages: python docs/book/build.py --gettext, then
# sphinx-intl update -p build/book/gettext -l zh -d docs/book/locale, and to build it, --language zh.
locale_dirs = [str(Path(__file__).parent / "locale")]
gettext_compact = False

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure", "mystnb.unknown_mime_type"]

nb_execution_mode = "cache"  # by content: an unchanged chapter is not run again
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures already say them
autodoc_use_type_comments = False  # there are none, and to look for them every source is read again
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "minidl"
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses to do from a file
templates_path: list[str] = []
exclude_patterns: list[str] = []


def _mathjax() -> Path:
    """The one file that holds MathJax with its fonts, out of the package sphinx-mathjax-offline."""
    files = importlib.metadata.files("sphinx-mathjax-offline") or []
    return next(Path(str(f.locate())) for f in files if f.name == "tex-svg-full.js")


mathjax_path = "mathjax.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local"}}


def _put_mathjax(app, error):
    if error is None and app.builder.format == "html":
        shutil.copyfile(_mathjax(), Path(app.outdir) / "_static" / "mathjax.js")


def setup(app):
    app.connect("build-finished", _put_mathjax)
    app.connect("autodoc-process-docstring", docstrings.process, priority=400)  # before napoleon
