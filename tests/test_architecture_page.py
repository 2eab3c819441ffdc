"""The page on the architecture draws what the imports say: python -m tests.architecture writes it anew."""

from xml.etree import ElementTree

from tests import architecture
from tests.test_architecture import LAYERS


def test_the_table_is_what_the_imports_say():
    text = architecture.PAGE.read_text(encoding="utf-8")
    assert architecture.START in text
    assert text == architecture.page(), "run: python -m tests.architecture"


def test_the_drawing_is_what_the_imports_say():
    drawn = architecture.DRAWING.read_text(encoding="utf-8")
    assert drawn == architecture.drawing(), "run: python -m tests.architecture"
    svg = ElementTree.fromstring(drawn)
    words = " ".join(t.text or "" for t in svg.iter("{http://www.w3.org/2000/svg}text"))
    for layer in LAYERS:
        for name in layer:
            assert name.removeprefix("minidl.") in words


def test_every_line_leads_down():
    rows = architecture.rows()
    assert len(rows) == len(LAYERS) + 1
    assert all(other < number for number, _, _, uses in rows for other in uses)
    assert rows[-1][3] == []
    assert {0} <= set(rows[-2][3]), "the lowest layer of minidl reaches the kernels"


def test_every_layer_has_words():
    assert list(architecture.WORDS) == [layer[0] for layer in LAYERS]
