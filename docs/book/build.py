"""``make book``: the tutorials with their outputs and pictures, the pages of docs/ and the reference, as one static site.

    python docs/book/build.py [--no-execute] [--no-lite] [--language zh] [--gettext] [--out build/book]

The site is in ``OUT/html``; open ``index.html`` there, no server needed. Chapters are run once and kept by their content.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(HERE)]

import gather  # noqa: E402
import lite  # noqa: E402
from sphinx.cmd.build import main as sphinx  # noqa: E402


def build(out: Path, execute: bool = True, browser: bool = True, language: str = "en", builder: str = "html") -> Path:
    """Build the site and return its folder; what Sphinx warns of is an error."""
    # Sphinx makes millions of nodes that stay: to search them for garbage took a quarter of the time.
    gc.set_threshold(100_000, 50, 100)
    source, html = out / "source", out / (builder if language == "en" else f"{builder}-{language}")
    chapters = gather.gather(source)
    os.environ.update(MINIDL_FULL="0", PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "kernels")]))
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    ):  # chapters run side by side, and must not wait for each other
        os.environ.setdefault(name, "1")
    options = ["-D", f"language={language}", "-D", f"nb_execution_cache_path={out / 'outputs'}"]
    options += ["-d", str(out / f"doctrees-{language}")]
    options += [] if execute else ["-D", "nb_execution_mode=off"]
    jobs = str(min(os.cpu_count() or 1, 4))
    code = sphinx(
        ["-b", builder, "-q", "-W", "--keep-going", "-j", jobs, "-c", str(HERE), *options, str(source), str(html)]
    )
    if code:
        raise SystemExit(code)
    if browser and builder == "html":
        lite.build(out, html, chapters)
    return html


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "book")
    parser.add_argument("--no-execute", action="store_true", help="show the chapters' code without running it")
    parser.add_argument("--no-lite", action="store_true", help="leave out the notebooks that run in the browser")
    parser.add_argument("--language", default="en", help="the language of docs/book/locale to build in")
    parser.add_argument("--gettext", action="store_true", help="write catalogues of messages for translators instead")
    asked = parser.parse_args()
    if asked.gettext:
        print(f"The messages are in {build(asked.out.resolve(), False, False, builder='gettext')}")
        return
    html = build(asked.out.resolve(), not asked.no_execute, not asked.no_lite, asked.language)
    print(f"The book is {html / 'index.html'}")


if __name__ == "__main__":
    main()
