"""kernels/README.md is true: its excerpts stand in the sources, its programs run, its index has every room."""

import re
import textwrap
from pathlib import Path

import pytest

from minidl import backends
from minidl.bench import ladder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "kernels/README.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "kernels/minidl_kernels"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def plain(text):
    """Lines without their indentation."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.parametrize("excerpt", blocks("py") + blocks("cpp"), ids=lambda text: text.split("\n")[0][:40])
def test_excerpts_stand_in_the_sources(excerpt):
    sources = [*(PACKAGE / "softmax").glob("*.*"), PACKAGE / "compiled.py"]
    assert any(plain(excerpt) in plain(path.read_text(encoding="utf-8")) for path in sources if path.is_file())


def test_programs_run_and_print_what_they_say(capsys):
    programs = blocks("python")
    assert len(programs) == 2
    with backends.use_backend("numpy"):
        for program in programs:
            exec(compile(textwrap.dedent(program), "kernels/README.md", "exec"), {})
    promised = re.findall(r"print\(.*\)  # (.*)", "\n".join(programs))
    assert capsys.readouterr().out.split() == promised


def test_every_room_is_in_the_index_and_has_the_files_that_are_promised():
    assert re.findall(r"^\| \[(\w+)\]", PAGE, re.M) == backends.rooms()
    assert [room for room in backends.rooms() if backends.files(room) != list(backends.CHAINS)] == ["matmul"]


@pytest.mark.parametrize("room", ladder.rooms())
def test_printed_ladders_have_todays_rungs(room):
    names = [rung.name for rung in ladder.ladder(room).RUNGS]
    page = (ROOT / "docs/ladders.md").read_text(encoding="utf-8").split(f"## {room}\n")[1].split("\n## ")[0]
    assert re.findall(r"^(\d+ .*?): ", page, re.M) == names


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "kernels/README.md",
        "CONTRIBUTING.md",
        *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    ],
)
def test_links_lead_somewhere(page):
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert link.startswith("http") or (path.parent / link).exists(), link
