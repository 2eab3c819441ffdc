"""What a notebook shows of a recording: the page that plays it, or a table."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import minidl
from minidl import inspect
from minidl.inspect import notebook
from minidl.inspect.export import page_of


def recorded(operators):
    x = minidl.ones(2, requires_grad=True)
    with inspect.trace():
        y = x
        for _ in range(operators - 1):
            y = y * 1.0
        loss = y.sum()
    return inspect.backward(loss)


class Rows(HTMLParser):
    """Counts the elements, and collects the cells' text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "td":
            self.cells.append(data)


def test_a_cell_plays_the_page():
    recording = recorded(3)
    shown = recording._repr_html_()
    (page,) = re.findall(r'<iframe srcdoc="([^"]*)"', shown)
    assert html.unescape(page) == page_of(recording)
    assert Rows(shown).tags == ["iframe"]


def test_a_very_long_recording_is_a_table(monkeypatch):
    monkeypatch.setattr(notebook, "PLAYED", 5)
    monkeypatch.setattr(notebook, "SHOWN", 4)
    shown = recorded(6)._repr_html_()
    rows = Rows(shown)
    assert rows.tags.count("tr") == 5
    assert "2 further steps" in shown
    assert "inspect.export(recording, 'trace.html')" in shown
    assert rows.cells[:2] == ["1", "sum"]
    assert "loss = y.sum()" in rows.cells[2]
    assert "further" not in notebook.table(recorded(3))
