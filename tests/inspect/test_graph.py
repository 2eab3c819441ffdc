"""Pictures of graphs: what they show is what is on the tape, nothing overlaps, and every form can be read back."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import minidl
import minidl.nn as nn
from minidl import inspect
from minidl.inspect.frame import lay_out
from minidl.inspect.heat import number, pixels, png
from minidl.inspect.routes import routes
from minidl.inspect.scene import Box, Text
from minidl.inspect.theme import HOMES, text_width


@pytest.fixture(autouse=True)
def _seeded():
    minidl.manual_seed(0)


def lstm_step():
    x, h, c = (minidl.randn(4, n) for n in (6, 5, 5))
    cell = nn.LSTMCell(6, 5)
    with inspect.trace():
        h, c = cell(x, (h, c))
        return h.square().mean()


def fused_lstm():
    x, lstm = minidl.randn(3, 2, 4), nn.LSTM(4, 5)
    with inspect.trace():
        y, _ = lstm(x)
        return y.square().mean()


def attention_block():
    x, attention = minidl.randn(2, 5, 8), nn.MultiheadAttention(8, 2, batch_first=True)
    with inspect.trace():
        y, _ = attention(x, x, x)
        return (x + y).square().mean()


def attention_by_hand():
    x = minidl.randn(2, 5, 8, requires_grad=True)
    wq, wk, wv, wo = (minidl.randn(8, 8, requires_grad=True) for _ in range(4))
    q, k, v = x @ wq, x @ wk, x @ wv
    weights = (q @ k.mT / math.sqrt(8)).softmax(-1)
    return ((weights @ v) @ wo + x).square().mean()


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        return x + self.fc(self.norm(x)).tanh()


def deep(layers=12):
    x, model = minidl.randn(3, 8), nn.Sequential(*(Residual() for _ in range(layers)))
    with inspect.trace():
        return model(x).square().mean()


def recurrence(steps=30):
    h, x, w, u = (
        minidl.zeros(2, 5),
        minidl.randn(2, 6),
        minidl.randn(6, 5, requires_grad=True),
        minidl.randn(5, 5, requires_grad=True),
    )
    for _ in range(steps):
        h = (x @ w + h @ u).tanh()
    return h.sum()


LOSSES = [lstm_step, fused_lstm, attention_block, attention_by_hand, deep, recurrence]


@pytest.mark.parametrize("make", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("settings", [{}, {"fold": 0}, {"limit": 20}], ids=str)
def test_nothing_overlaps_and_no_text_is_cut_off(make, settings):
    graph = inspect.graph(make(), **settings)
    drawn = graph._scene(graph._values())
    cards = [g.shapes for g in drawn.groups if g.key and g.role not in ("wire", "box", "deeper")]
    bodies = []
    for shapes in cards:
        boxes = [s for s in shapes if isinstance(s, Box)]
        bodies.append(boxes[-1])
        for text in (s for s in shapes if isinstance(s, Text) and not s.role):
            assert text_width(text.text, text.size) <= boxes[-1].width
    for a, b in itertools.combinations(bodies, 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
        assert apart
    labels = [
        s for shapes in cards for s in shapes if isinstance(s, Text) and s.role == "label" and s.anchor == "start"
    ]
    areas = [(t.x, t.y - 9, t.x + text_width(t.text, t.size), t.y + 2) for t in labels]
    areas += [(b.x, b.y, b.x + b.width, b.y + b.height) for b in bodies]
    for a, b in itertools.combinations(areas, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for left, top, right, bottom in areas:
        assert left >= 0
        assert top >= 0
        assert right <= drawn.width
        assert bottom <= drawn.height


@pytest.mark.parametrize("make", LOSSES, ids=lambda f: f.__name__)
def test_every_operand_has_its_line(make):
    """The lines of a picture with everything open are the edges of the tape, each as often as it is an operand."""
    graph = inspect.graph(make(), limit=None)
    nodes, wires = graph.nodes, graph.picture.wires
    drawn = sorted(
        (wires[route.wire], route.end.part.ref)
        for route in routes(lay_out(graph.picture, nodes))
        if route.end.part.kind == "op"
    )
    numbers = {v.id for v in nodes.values if v.kind == "constant" and not v.shape}
    assert drawn == sorted((v, op.id) for op in nodes.ops for v in op.inputs if v is not None and v not in numbers)


def test_an_operand_named_twice_has_two_lines():
    x = minidl.randn(3, requires_grad=True)
    graph = inspect.graph((x * x).sum())
    assert sum(route.end.part.label == "mul" for route in routes(lay_out(graph.picture, graph.nodes))) == 2


def test_numbers_are_told_in_the_operator():
    x = minidl.randn(3, requires_grad=True)
    with inspect.trace():
        y = (x / 8).sum()
    assert "div(·, 8)" in inspect.graph(y).to_svg()


def test_boxes_are_the_modules():
    graph = inspect.graph(deep(2), limit=None)
    names = [part.label for part in graph.picture.root.walk() if part.kind == "box"]
    assert names[1:] == ["model", "0", "norm", "fc", "1", "norm", "fc"]
    inside = {p.label for p in graph.picture.root.walk() if p.kind == "leaf"}
    assert inside == {"x", "weight", "bias"}  # within the boxes of norm and fc, whose names need not be said again


def test_fold_opens_so_many_levels():
    for fold, opened in enumerate([0, 1, 3, 7]):
        graph = inspect.graph(deep(2), fold=fold)
        assert sum(part.open for part in graph.picture.root.walk()) == 1 + opened


def visible(part):
    return sum(visible(inner) if inner.open else 1 for inner in part.parts)


@pytest.mark.parametrize("make", [deep, recurrence])
@pytest.mark.parametrize("limit", [8, 20, 60, 120])
def test_the_limit_holds_and_the_picture_says_so(make, limit):
    graph = inspect.graph(make(), limit=limit)
    assert visible(graph.picture.root) <= limit + 2  # the ends come on top
    remarks = {"some boxes are closed", "repeated stretches are folded", "long stretches are folded"}
    if graph.picture.remarks:
        assert set(graph.picture.remarks) <= remarks
        assert "drawn as" in graph.to_svg()
    else:
        assert visible(graph.picture.root) >= len(graph.nodes.ops)


def test_what_repeats_is_folded_under_its_number():
    graph = inspect.graph(recurrence(30), limit=40)
    assert "repeated stretches are folded" in graph.picture.remarks
    (rest,) = [part for part in graph.picture.root.parts if part.kind == "box"]
    assert (rest.label, rest.note) == ("(matmul matmul add …) × 29", "29 more like the one before")
    assert rest.size == 4 * 29


@pytest.mark.slow
def test_a_huge_graph_without_modules():
    x = minidl.randn(4, requires_grad=True)
    y, kinds = x, ["exp", "tanh", "sigmoid", "sin", "cos"]
    draw = np.random.default_rng(0)
    for i in draw.integers(0, 5, 20_000):
        y = getattr(y, kinds[i])()
    graph = inspect.graph(y.sum())
    assert visible(graph.picture.root) <= 122
    assert "20,001 operators, drawn as" in graph.to_svg(interactive=False)
    assert "long stretches are folded" in graph.picture.remarks


def test_a_long_repetition_opens_in_pieces():
    y = minidl.randn(4, requires_grad=True)
    for _ in range(5_000):
        y = y.sin()
    graph = inspect.graph(y.sum())
    assert "5,001 operators, drawn as 5 parts; repeated stretches are folded" in graph.to_svg()
    assert max(len(part.parts) for part in graph.picture.root.walk()) <= 120


def test_calls_of_one_module_are_boxes_of_their_own():
    cell, x, h = nn.GRUCell(3, 4), minidl.randn(2, 3), minidl.zeros(2, 4)
    with inspect.trace():
        for _ in range(3):
            h = cell(x, h)
        loss = h.sum()
    graph = inspect.graph(loss)
    boxes = [part.label for part in graph.picture.root.parts if part.kind == "box"]
    assert boxes == ["cell (1 of 3)", "cell (2 of 3)", "cell (3 of 3)"]
    weights = [p for p in graph.picture.root.walk() if p.label == "weight_hh"]
    assert [p.note for p in weights] == ["shared"] * 3


# ----------------------------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("make", LOSSES, ids=lambda f: f.__name__)
def test_svg_is_xml_with_every_visible_part(make):
    graph = inspect.graph(make())
    for text in (graph.to_svg(), graph._repr_svg_()):
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        keys = {element.get("data-key") for element in root.iter() if element.get("data-key")}
        shown = {p.key for p in graph.picture.root.walk() if p.kind in ("leaf", "op")}
        closed = {p.key for box in graph.picture.root.walk() if box.kind == "box" and not box.open for p in box.walk()}
        assert shown - closed <= keys


def test_values_gradients_shapes_formulas_and_lines_are_in_the_svg():
    text = inspect.graph(inspect.backward(lstm_step())).to_svg(interactive=False)
    assert text.count("<image") > 20
    for told in ("4×20 f32", "weight_ih", "cell", "∂y/∂x = 1 - y²", "h, c = cell(x, (h, c))", "scalar f32"):
        assert told in text
    assert "<script" not in text


def test_tooltips_are_escaped():
    a = minidl.randn(2, requires_grad=True)
    with inspect.trace():
        loss = (a * (1 if 1 < 2 else 3)).sum()  # ]]> & <script>alert(1)</script>
    graph = inspect.graph(loss)
    ET.fromstring(graph.to_svg())
    assert "<script>alert" not in graph.to_svg()


def texts(graph):
    return [
        "".join(e.itertext()) for e in ET.fromstring(graph.to_svg(interactive=False)).iter() if e.tag.endswith("text")
    ]


def test_what_was_not_traced_is_said_once_and_what_is_known_is_shown():
    model, x = nn.Sequential(nn.Linear(1, 1), nn.Tanh()), minidl.ones(1, 1)
    loss = model(x).square().sum()
    told = texts(inspect.graph(loss))
    assert sum("are not known" in text for text in told) == 1
    assert told[3:5] == ["with minidl.inspect.trace():", "loss = …"]
    assert f"loss = {loss.item():.4g}" in told
    assert f"{model[0].weight.item():.4g}" in told
    assert "·" not in told  # no room for what is not known
    with inspect.trace():
        hidden = model(x)
    loss = hidden.square().sum()
    assert "Values, lines and modules of 2 of the 4 operators are not known" in texts(inspect.graph(loss))[2]
    assert f"{hidden.item():.4g}" in texts(inspect.graph(loss))
    with inspect.trace():
        loss = model(x).square().sum()
    assert not any("not known" in text for text in texts(inspect.graph(loss)))
    assert inspect.read(loss).untraced == []
    told = texts(inspect.graph(loss, values=False))
    assert f"{model[0].weight.item():.4g}" not in told
    assert "·" in texts(inspect.graph(model(x).square().sum(), values=True))


def test_png_has_the_size_of_the_scene():
    import matplotlib.image

    graph = inspect.graph(inspect.backward(attention_by_hand()), title="$attention$")
    drawn = graph._scene(graph._values())
    for scale in (1.0, 2.0):
        image = matplotlib.image.imread(io.BytesIO(graph.to_png(scale)))
        assert image.shape[:2] == pytest.approx((drawn.height * scale, drawn.width * scale), abs=2)
        assert len(np.unique(image[..., 0])) > 50


@pytest.mark.parametrize(
    ("name", "title", "made"),
    [("graph-lstm", "A step of an LSTM", lstm_step), ("graph-attention", "An attention block", attention_block)],
)
def test_the_pictures_of_the_documentation(name, title, made, tmp_path):
    """MINIDL_SCREENSHOTS=docs/images draws them anew."""
    import matplotlib.image

    path = Path(os.environ.get("MINIDL_SCREENSHOTS", str(tmp_path))) / f"{name}.png"
    path.write_bytes(inspect.graph(inspect.backward(made()), title=title).to_png(scale=1.4))
    height, width = matplotlib.image.imread(path).shape[:2]
    assert 500 < width < 1200  # as much as is read at a glance
    assert 1000 < height < 3000


def test_a_written_png_is_read_back():
    import matplotlib.image

    rows = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    image = matplotlib.image.imread(io.BytesIO(png(rows, 3)))
    np.testing.assert_array_equal((image * 255).round().astype(np.uint8), rows.repeat(3, 0).repeat(3, 1))


def test_colours_of_numbers():
    colours = pixels({"grid": [[-2.0, 0.0, 2.0, "nan"]]}, "value")
    assert colours is not None
    assert colours.tolist() == [[[33, 102, 172], [247, 247, 247], [178, 24, 43], [255, 176, 0]]]
    assert pixels({"grid": []}, "value") is None
    assert [number(x) for x in (0.0, 12345, -0.01371, 1.3e-7, float("nan"), "inf", 2.0)] == [
        *("0", "12,345", "-0.01371", "1.3e-07", "nan", "∞", "2"),
    ]


@pytest.mark.parametrize("make", LOSSES, ids=lambda f: f.__name__)
def test_graphviz_reads_what_to_dot_writes(make):
    if shutil.which("dot") is None:
        pytest.skip("Graphviz's dot is not installed")
    graph = inspect.graph(make())
    out = subprocess.run(["dot", "-Tplain"], input=graph.to_dot(), capture_output=True, text=True, check=True).stdout
    assert sum(line.startswith("node ") for line in out.splitlines()) == visible(graph.picture.root)
    operands = sum(len(p.ins) for p in graph.picture.root.walk() if not p.open and _is_visible(p, graph.picture.root))
    assert sum(line.startswith("edge ") for line in out.splitlines()) == operands


def _is_visible(part, box):
    return any(inner is part or (inner.open and _is_visible(part, inner)) for inner in box.parts)


def test_mermaid_names_all_parts_and_joins_them():
    graph = inspect.graph(lstm_step())
    text = graph.to_mermaid()
    assert text.startswith("flowchart TB\n")
    assert text.count("subgraph ") == text.count("\n  end\n") == 1
    assert text.count("-->") == sum(len(p.ins) for p in graph.picture.root.walk() if p.kind in ("op", "end"))
    assert "sigmoid" in text


def test_json_is_the_graph():
    loss = lstm_step()
    graph = inspect.graph(loss)
    told = json.loads(json.dumps(graph.to_json(), allow_nan=False))
    assert [op["label"] for op in told["ops"]] == [op.label for op in graph.nodes.ops]
    assert told["values"][told["loss"]]["items"] == [pytest.approx(loss.item())]


@pytest.mark.parametrize("ending", ["svg", "png", "dot", "gv", "mmd", "json"])
def test_save_by_ending(tmp_path, ending):
    path = inspect.graph(fused_lstm()).save(tmp_path / f"graph.{ending}")
    assert path.stat().st_size > 300
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_wrong_use_is_answered_in_words(tmp_path):
    loss = fused_lstm()
    with pytest.raises(ValueError, match=r"graph.pdf.*must end in one of .svg"):
        inspect.graph(loss).save(tmp_path / "graph.pdf")
    with pytest.raises(RuntimeError, match="no graph behind"):
        inspect.graph(minidl.ones(2))
    with pytest.raises(TypeError, match="got int"):
        inspect.graph(3)
    with pytest.raises(ValueError, match="limit must be at least 1"):
        inspect.graph(loss, limit=0)
    with pytest.raises(ValueError, match="fold must be 0 or more"):
        inspect.graph(loss, fold=-1)
    with pytest.raises(ValueError, match="has its names already"):
        inspect.graph(inspect.backward(loss), names={})


def test_odd_graphs():
    leaf = minidl.randn(2, requires_grad=True)
    empty = minidl.zeros(0, 3, requires_grad=True)
    for tensor in (leaf, empty.sum(), leaf[:0] * 2, (leaf * float("nan")).sum()):
        ET.fromstring(inspect.graph(tensor).to_svg())
        ET.fromstring(inspect.graph(tensor).to_svg(interactive=False))


def test_several_losses_have_an_end_each():
    x = minidl.randn(2, requires_grad=True)
    graph = inspect.graph([x.sum(), x.square()])
    assert sum(part.kind == "end" for part in graph.picture.root.parts) == 2


def test_graph_leaves_gradients_alone():
    x = minidl.randn(2, requires_grad=True)
    loss = x.square().sum()
    inspect.graph(loss).to_svg()
    assert x.grad is None
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())


def test_every_home_of_operators_exists():
    import importlib

    for module in HOMES:
        importlib.import_module(module)
