"""The trace page as a file: whole, self-contained, its data safe and complete. What it does is tested in test_page.py."""

from __future__ import annotations

import html.parser
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minidl
import minidl.nn as nn
from minidl import inspect
from minidl.inspect.embed import FOLDER, as_script
from minidl.inspect.export import SCRIPTS, compact, page_of

ROOT = Path(__file__).parents[2]


def recorded():
    minidl.manual_seed(0)
    x, model = minidl.randn(4, 3), nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    with inspect.trace():
        loss = model(x).square().mean()
    return inspect.backward(loss)


class Reader(html.parser.HTMLParser):
    """Notes what a page would fetch, and its data."""

    def __init__(self):
        super().__init__()
        self.fetched, self.data, self.inside = [], "", False

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.inside = found.get("id") == "data"
        self.fetched += [v for k, v in attrs if k in ("src", "href") and not v.startswith(("#", "data:"))]

    def handle_data(self, data):
        self.data += data if self.inside else ""

    def handle_endtag(self, tag):
        self.inside = False


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_fetches_nothing():
    page = page_of(recorded())
    assert read(page).fetched == []
    assert "{{" not in page
    outside = set(re.findall(r"https?://[^\"' )<]+", page))
    assert outside == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}  # names, not addresses
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page


def test_the_data_is_the_recording():
    recording = recorded()
    told, data = recording.to_json(), json.loads(read(page_of(recording)).data)

    def same(figure, number):
        if figure is None:
            assert number is None
            return
        kept = data["figures"][number]
        assert kept["items"] == pytest.approx(figure["items"], rel=1e-5)
        np.testing.assert_allclose(kept["grid"], figure["grid"], rtol=1e-5)

    assert len(data["steps"]) == len(recording)
    for step, made in zip(told["steps"], data["steps"]):
        for a, b in zip(step["incoming"], made["incoming"]):
            same(a, b)
        for a, b in zip(step["added"], made["added"]):
            assert a["value"] == b["value"]
            for name in ("before", "contribution", "after"):
                same(a[name], b[name])
        for a, b in zip(step["local"], made["local"]):
            same(a, b["figure"])
        assert made["explanation"] == step["explanation"]
        assert made["questions"] == step["questions"]
    assert [v["name"] for v in data["values"]] == [v["name"] for v in told["values"]]


def test_each_figure_stands_in_the_page_once():
    data = compact(recorded().to_json())
    told = [json.dumps(figure) for figure in data["figures"]]
    assert len(told) == len(set(told))
    uses = json.dumps(data["steps"]).count('"contribution"') * 2
    assert len(told) < uses + len(data["values"])


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "<!--", "]]>", "a & b", "\u2028\u2029", "{{data}}"]
)
def test_text_of_the_program_cannot_break_out(text):
    x = minidl.randn(3, requires_grad=True)
    recording = inspect.backward((x * 2).sum(), names={text: x})
    page = page_of(recording, title=text)
    reader = read(page)
    assert text in [v["name"] for v in json.loads(reader.data)["values"]]
    assert page.count("<script") == len(SCRIPTS) + 1
    assert json.loads(as_script({"a": text})) == {"a": text}


def test_nan_and_infinity_are_words():
    x = minidl.tensor([0.0, -1.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        page = page_of(inspect.backward(x.log().sqrt().sum()))
    data = read(page).data
    json.loads(data, parse_constant=lambda name: pytest.fail(name))
    assert '"nan"' in data
    assert '"inf"' in data


def test_a_loss_is_recorded_first(tmp_path):
    x = minidl.randn(3, requires_grad=True)
    path = inspect.export(x.square().sum(), tmp_path / "trace.html")
    assert path == tmp_path / "trace.html"
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())
    assert [p.name for p in tmp_path.iterdir()] == ["trace.html"]


def test_an_untraced_graph_makes_a_page_too():
    x = minidl.randn(3, requires_grad=True)
    data = json.loads(read(page_of(inspect.backward(x.exp().sum()))).data)
    assert all(op["line"] is None for op in data["ops"])


def test_figures_stand_once_and_are_those_of_the_arrays():
    x = minidl.tensor([1.0, float("nan"), float("inf"), -2.5], requires_grad=True)
    with inspect.trace():
        loss = (x + 1.0).sum()
    recording = inspect.backward(loss)
    data = json.loads(read(page_of(recording)).data)
    told = [json.dumps(figure) for figure in data["figures"]]
    assert len(told) == len(set(told))
    assert data["figures"][data["values"][recording.nodes.find("x").id]["figure"]]["items"] == [1.0, "nan", "inf", -2.5]
    ones = {data["steps"][-1]["incoming"][0], data["gradients"][str(recording.nodes.find("x").id)]}
    assert len(ones) == 1  # two arrays, the same numbers
    assert data["figures"][ones.pop()]["items"] == [1.0] * 4


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = inspect.export(recorded(), tmp_path / "trace.html")
    before = path.read_bytes()
    monkeypatch.setattr(sys.modules["minidl.inspect.export"], "page_of", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inspect.export(recorded(), path)
    assert path.read_bytes() == before


def test_wrong_use_is_answered_in_words(tmp_path):
    with pytest.raises(TypeError, match="expected a Recording"):
        inspect.export(3, tmp_path / "trace.html")
    with pytest.raises(ValueError, match="has its names already"):
        inspect.export(recorded(), tmp_path / "trace.html", names={})
    with pytest.raises(FileNotFoundError):
        inspect.export(recorded(), tmp_path / "missing" / "trace.html")


@pytest.mark.slow
def test_the_wheel_has_the_page(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"minidl/inspect/page/{file.name}" for file in FOLDER.iterdir()} <= names
