"""``minidl tutorials`` and ``minidl check`` as a learner meets them, on a sample chapter."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from minidl.cli import tutorials
from minidl.tutor import check, judging, learner, shelf
from minidl.tutor.chapter import read
from tests.cli.test_cli import invoke

MINE = Path("my_tutorials", "03_sample.py")
OPEN = 'raise NotImplementedError("total: write your code here")'


@pytest.fixture
def in_this_process(monkeypatch):
    """Answers judged without a process of their own, which takes a second to start."""
    monkeypatch.setattr(
        judging, "judge_apart", lambda chapter, exercise, path, seconds: judging.judge(chapter, exercise, path)
    )


def answer(code):
    """Start the chapter, put ``code`` where the solution belongs, and check it."""
    if not MINE.exists():
        assert invoke("tutorials", "start", "3")[0] == 0
    text = shelf.chapter("3").path.read_text()
    start = MINE.read_text()
    assert OPEN in start
    assert "x.sum" not in start
    assert "x.sum" in text
    MINE.write_text(start.replace(OPEN, code.replace("\n", "\n    ")))
    return invoke("check", "03", "total")


def test_list_says_title_question_and_what_is_solved(shelf_of_one, in_this_process):
    for words in (["tutorials"], ["tutorials", "list"]):
        code, text = invoke(*words)
        assert code == 0, text
        assert "A sample" in text
        assert "How does one write a chapter" in text
        assert "0 of 1" in text
    assert answer("return x.numel() if x.dtype.is_floating_point else 0")[0] == 0
    assert "1 of 1" in invoke("tutorials")[1]


def test_start_keeps_the_learners_work(shelf_of_one):
    code, text = invoke("tutorials", "start", "sample")
    assert code == 0, text
    assert str(MINE) in text
    MINE.write_text(MINE.read_text() + "# mine\n")
    code, text = invoke("tutorials", "start", "sample")
    assert code == 1
    assert "--force" in text
    assert MINE.read_text().endswith("# mine\n")
    assert invoke("tutorials", "start", "sample", "--force")[0] == 0
    assert "# mine" not in MINE.read_text()
    chapter = read(MINE)
    assert [c.role for c in chapter.cells if c.role] == ["setup", "exercise", "exercise"]
    assert not any(word in MINE.read_text() for word in ("check_total", "mean_for_total", "is called `sum`"))


def test_start_writes_a_notebook_whose_hints_fold(shelf_of_one):
    assert invoke("tutorials", "start", "03", "--notebook")[0] == 0
    notebook = json.loads(MINE.with_suffix(".ipynb").read_text())
    sources = ["".join(c["source"]) for c in notebook["cells"]]
    assert sum(s.startswith("<details><summary>Hint") for s in sources) == 2
    assert any('check("03", total)' in s for s in sources)
    assert sum(OPEN in s for s in sources) == 1
    assert not any("x.sum().item()" in s for s in sources)


def test_an_answer_that_is_right(shelf_of_one, in_this_process):
    code, text = answer("return float(x.numpy().sum())")
    assert (code, "total: right." in text) == (0, True), text
    assert json.loads(Path("my_tutorials/progress.json").read_text()) == {
        "03_sample": {"total": {"attempts": 1, "hints": 0, "solved": True}}
    }


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (OPEN, ["not written yet"]),
        ("return x.mean().item()", ["not right yet", "there are 4 ones. Look at every axis."]),
        (
            "return x.shape[1]",
            ["met an error", "IndexError", "return x.shape[1]", "total(minidl.ones(*shape))", "(4,)"],
        ),
        ("return helper(x)", ["NameError", "helper", "helpers of yours belong into that cell"]),
        ("return x.sum(", ["cannot read", "line 2", "^"]),
        ("raise SystemExit(0)", ["met an error", "SystemExit"]),
        ("print('here I am')\nreturn 0", ["not right yet", "It printed: here I am"]),
        ("assert x is None, 'mine'", ["met an error", "AssertionError: mine"]),
    ],
)
def test_an_answer_that_is_not(shelf_of_one, in_this_process, code, words):
    exit_code, text = answer(code)
    assert exit_code == 1, text
    for word in words:
        assert word in text, text
    assert not json.loads(Path("my_tutorials/progress.json").read_text())["03_sample"]["total"]["solved"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "words", "seconds"),
    [
        ("while True:\n    pass", "does not end. it had not ended after 4 seconds", 4.0),
        ("while True:\n    print('on and on')", "does not end.", 4.0),
        ("import os\nos._exit(7)", "ended with code 7", 60.0),
        ("return x.mean()", "Look at every axis", 60.0),
    ],
)
def test_an_answer_cannot_take_the_command_with_it(shelf_of_one, monkeypatch, code, words, seconds):
    """The answer runs in a process of its own."""
    monkeypatch.setattr(tutorials, "SECONDS", seconds)
    start = time.monotonic()
    exit_code, text = answer(code)
    assert exit_code == 1, text
    assert words in text, text
    assert time.monotonic() - start < 60


def test_a_syntax_error_is_shown_at_its_line(shelf_of_one, in_this_process):
    _, text = answer("return x.sum(")
    line = MINE.read_text().splitlines().index("    return x.sum(") + 1
    assert f"{MINE}, line {line}" in text


def test_the_learner_cannot_change_the_checker(shelf_of_one, in_this_process):
    code, text = answer("global minidl\nclass minidl:\n    ones = staticmethod(lambda *s: s)\nreturn 0")
    assert code == 1, text
    MINE.write_text(MINE.read_text() + '\n# %% tags=["check", "total"]\ndef check_total(total):\n    pass\n')
    assert invoke("check", "3")[0] == 1


def test_hints_come_one_by_one_and_end(shelf_of_one, in_this_process):
    invoke("tutorials", "start", "3")
    for words in ("Hint 1 of 2 for total: A tensor can do it.", "Hint 2 of 2", "Hint 2 of 2"):
        code, text = invoke("check", "3", "--hint")
        assert code == 1
        assert words in text
    assert "the last hint" in text
    assert "03_sample.py, line" in text


def test_a_notebook_is_checked_too(shelf_of_one, in_this_process):
    invoke("tutorials", "start", "3", "--notebook")
    path = MINE.with_suffix(".ipynb")
    path.write_text(path.read_text().replace(json.dumps(OPEN)[1:-1], "return x.shape[5]"))
    code, text = invoke("check", "3")
    assert code == 1
    assert "your cell, line 3: return x.shape[5]" in text
    path.write_text(path.read_text().replace("return x.shape[5]", "return x.sum().item()"))
    assert invoke("check", "3", "--file", path)[0] == 0


def test_tags_may_be_lost(shelf_of_one, in_this_process):
    answer("return x.sum().item()")
    MINE.write_text(MINE.read_text().replace(' tags=["exercise", "total"]', "").replace(' tags=["setup"]', ""))
    assert invoke("check", "3")[0] == 0
    MINE.write_text(MINE.read_text().replace("def total", "def sum_of_all"))
    code, text = invoke("check", "3")
    assert code == 1
    assert 'tags=["exercise", "total"]' in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "3"], "minidl tutorials start 03 writes it"),
        (["check", "4"], "there is no chapter '4'"),
        (["check", "smaple"], "did you mean 'sample'?"),
        (["check", "3", "totl"], "did you mean total?"),
        (["check", "3", "--file", "nowhere.py"], "there is no file nowhere.py"),
        (["check", "3", "--file", "."], "there is no file"),
        (["tutorials", "run", "nothing"], "minidl tutorials lists them"),
        (["tutorials", "start", "17"], "The chapters are 03 to 03"),
    ],
)
def test_wrong_use_is_answered_in_words(shelf_of_one, words, message):
    code, text = invoke(*words)
    assert code == 1
    assert message in text


def test_a_damaged_progress_file_is_named(shelf_of_one):
    Path("my_tutorials").mkdir()
    Path("my_tutorials/progress.json").write_text("{")
    code, text = invoke("tutorials")
    assert code == 1
    assert "progress.json is damaged" in text


@pytest.mark.slow
def test_run_shows_the_output_and_keeps_the_figures(shelf_of_one):
    path = shelf.chapter("3").path
    path.write_text(
        path.read_text()
        + "\nimport matplotlib.pyplot as plt\nfrom minidl.tutor import choose\n"
        + "print('settings', choose('small', 'full'))\nplt.plot([1, 2])\nplt.show()\n"
    )
    code, text = invoke("tutorials", "run", "3", "--full")
    assert code == 0, text
    assert "settings full" in text
    assert "the end" in text
    assert Path("runs/tutorials/03_sample/figure-1.png").stat().st_size > 1000
    path.write_text("# %% [markdown]\n# # 3. Broken\n# %%\nraise ValueError('it fails')\n")
    code, text = invoke("tutorials", "run", "3")
    assert code == 1
    assert "it fails" in text


def test_open_says_how_without_jupyter_and_starts_it_with(shelf_of_one, monkeypatch):
    monkeypatch.setattr(tutorials.importlib.util, "find_spec", lambda name: None)
    code, text = invoke("tutorials", "open", "3")
    assert code == 1
    assert "pip install jupyterlab" in text
    assert MINE.with_suffix(".ipynb").exists()
    called = []
    monkeypatch.setattr(tutorials.importlib.util, "find_spec", lambda name: name == "jupyterlab" or None)
    monkeypatch.setattr(
        tutorials.subprocess,
        "run",
        lambda command, check: called.append(command) or types.SimpleNamespace(returncode=0),
    )
    assert invoke("tutorials", "open", "3")[0] == 0
    assert called == [[sys.executable, "-m", "jupyterlab", str(MINE.with_suffix(".ipynb"))]]


def test_check_in_a_notebook(shelf_of_one, capsys):
    def total(x):
        return x.sum().item()

    check("03", total)
    assert capsys.readouterr().out == "total: right.\n"
    check("03", lambda x: x[5], "total")
    assert "IndexError" in capsys.readouterr().out
    with pytest.raises(ValueError, match="has no exercise 'summe'"):
        check("03", total, "summe")


def test_choose(monkeypatch):
    code = "from minidl.tutor import choose; print(choose(1, 10))"
    for asked, got in (("", "1"), ("0", "1"), ("1", "10")):
        monkeypatch.setenv("MINIDL_FULL", asked)
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == got
    monkeypatch.setenv("MINIDL_FULL", "yes")
    assert (
        "write 1 for the full settings"
        in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    )


def test_the_shelf_is_that_of_the_clone():
    assert shelf.folder() == Path(__file__).parents[2] / "tutorials"
    assert learner.FOLDER == tutorials.MINE
