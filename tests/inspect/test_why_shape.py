"""Every kind of shape error is drawn with what breaks the rule marked, and every remedy that is suggested works."""

from __future__ import annotations

import warnings

import pytest

import minidl
import minidl.nn.functional as F
from minidl import inspect, nn

r = minidl.randn


def classes(*shape):
    return minidl.randint(0, 4, shape)


# name: (what fails, the columns marked in each row, as cells; how many remedies there are at least)
CASES = {
    "matmul": (lambda: r(2, 3) @ r(2, 3), [["3"], ["2"]], 2),
    "matmul of vectors": (lambda: r(3) @ r(4), [["3"], ["4"]], 1),
    "matmul of batches": (lambda: r(2, 3, 4) @ r(3, 4, 5), [["2"], ["3"]], 1),
    "matmul of a batch and a matrix": (lambda: r(5, 2, 3) @ r(6, 4), [["3"], ["6"]], 1),
    "mm": (lambda: minidl.mm(r(2, 3), r(2, 3)), [["3"], ["2"]], 2),
    "bmm": (lambda: minidl.bmm(r(1, 2, 3), r(4, 3, 5)), [["1"], ["4"]], 1),
    "mv": (lambda: minidl.mv(r(2, 3), r(2)), [["3"], ["2"]], 1),
    "linear": (lambda: nn.Linear(4, 5)(r(4, 3)), [["3"], ["4"]], 2),
    "linear after pictures": (lambda: nn.Linear(12, 5)(r(2, 3, 2, 2)), [["2"], ["12"]], 2),
    "linear with the weight turned": (lambda: F.linear(r(2, 3), r(3, 5)), [["3"], ["5"]], 2),
    "einsum": (lambda: minidl.einsum("ij,jk->ik", r(2, 3), r(4, 3)), [["3"], ["4"]], 1),
    "add": (lambda: r(2, 3) + r(2), [["3"], ["2"]], 1),
    "mul": (lambda: r(4, 3) * r(4), [["3"], ["4"]], 2),
    "sub": (lambda: r(2, 3) - r(3, 2), [["2", "3"], ["3", "2"]], 2),
    "where": (lambda: minidl.where(r(2, 3) > 0, r(2, 4), 0.0), [["3"], ["4"]], 0),
    "masked_fill": (lambda: r(2, 3).masked_fill(r(2) > 0, 0), [["2"], ["3"]], 1),
    "lerp": (lambda: minidl.lerp(r(4, 3), r(4), 0.5), [["3"], ["4"]], 1),
    "heaviside": (lambda: minidl.heaviside(r(2, 3), r(2)), [["3"], ["2"]], 1),
    "isclose": (lambda: minidl.isclose(r(2, 3), r(3, 2)), [["2", "3"], ["3", "2"]], 1),
    "mse_loss": (lambda: F.mse_loss(r(3, 4), r(4, 3)), [["3", "4"], ["4", "3"]], 1),
    "expand": (lambda: r(3).expand(3, 4), [["3"], ["4"]], 1),
    "expand to fewer": (lambda: r(2, 3).expand(3), [["2"], []], 0),
    "cat": (lambda: minidl.cat([r(2, 3), r(2, 4)], 0), [["3"], ["4"]], 1),
    "cat of other dimensions": (lambda: minidl.cat([r(2, 3), r(3)], 0), [[], ["3"]], 1),
    "stack": (lambda: minidl.stack([r(2, 3), r(2, 4)]), [["3"], ["4"]], 1),
    "view": (lambda: r(2, 3).view(4, 2), [[], ["4", "2"]], 2),
    "reshape": (lambda: r(2, 6).reshape(-1, 5), [[], ["-1", "5"]], 1),
    "view of turned memory": (lambda: r(2, 3).T.view(6), [["3", "2"], []], 2),
    "conv2d channels": (lambda: nn.Conv2d(3, 8, 3)(r(2, 1, 8, 8)), [["1"], ["3"]], 2),
    "conv2d channels last": (lambda: nn.Conv2d(3, 8, 3)(r(2, 8, 8, 3)), [["8"], ["3"]], 2),
    "conv2d of a flat picture": (lambda: nn.Conv2d(1, 8, 3)(r(8, 8)), [["8", "8"], []], 1),
    "conv2d without channels": (lambda: nn.Conv2d(1, 8, 3)(r(5, 8, 8)), [["5"], ["1"]], 1),
    "conv2d of too small a picture": (lambda: nn.Conv2d(3, 8, 5)(r(2, 3, 4, 9)), [["4"], ["5"]], 1),
    "conv1d": (lambda: nn.Conv1d(3, 4, 2)(r(1, 4, 3)), [["4"], ["3"]], 2),
    "conv with groups": (lambda: nn.Conv2d(4, 8, 3, groups=2)(r(1, 6, 5, 5)), [["6"], ["2"]], 1),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(3, 4, 2)(r(1, 4, 3, 3)), [["4"], ["3"]], 0),
    "layer_norm": (lambda: nn.LayerNorm(4)(r(4, 3)), [["3"], ["4"]], 2),
    "batch_norm": (lambda: nn.BatchNorm2d(4)(r(2, 3, 4, 4)), [["3"], ["4"]], 2),
    "lstm": (lambda: nn.LSTM(4, 5)(r(7, 4, 3)), [["3"], ["4"]], 2),
    "lstm of single values": (lambda: nn.LSTM(1, 5)(r(7, 3)), [["3"], ["1"]], 2),
    "lstm state": (lambda: nn.LSTM(4, 5)(r(7, 2, 4), (r(2, 1, 5), r(2, 1, 5))), [["2", "1"], ["1", "2"]], 2),
    "gru": (lambda: nn.GRU(4, 5, batch_first=True)(r(2, 7, 3)), [["3"], ["4"]], 1),
    "lstm cell": (lambda: nn.LSTMCell(3, 4)(r(2, 5)), [["5"], ["3"]], 1),
    "lstm cell state": (lambda: nn.LSTMCell(3, 4)(r(2, 3), (r(2, 5), r(2, 5))), [["5"], ["4"]], 0),
    "multi-head attention": (
        lambda: nn.MultiheadAttention(8, 2)(r(3, 2, 4), r(3, 2, 4), r(3, 2, 4)),
        [["4"], ["8"]],
        1,
    ),
    "attention": (
        lambda: F.scaled_dot_product_attention(r(2, 2, 3, 4), r(2, 2, 4, 5), r(2, 2, 5, 6)),
        [["4"], ["4", "5"], ["5"]],
        1,
    ),
    "cross_entropy": (lambda: F.cross_entropy(r(3, 4), classes(5)), [["3"], ["5"]], 0),
    "cross_entropy of sequences": (lambda: F.cross_entropy(r(3, 5, 4), classes(3, 5)), [["4"], ["5"]], 2),
    "cross_entropy of columns": (lambda: F.cross_entropy(r(3, 4), classes(3, 1)), [[], ["1"]], 2),
    "binary_cross_entropy_with_logits": (
        lambda: F.binary_cross_entropy_with_logits(r(3, 1), r(3)),
        [["1"], []],
        2,
    ),
}


def caught(function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function()
        except Exception as error:
            return error
    raise AssertionError("nothing went wrong")


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_the_rule_is_marked_and_remedies_work(name):
    function, marked, least = CASES[name]
    report = inspect.why_shape(caught(function))
    assert [[row.cells[c] for c in sorted(row.marked)] for row in report.rows] == marked
    assert len(report.remedies) >= least
    text = str(report)
    assert "✗" in text
    for row in report.rows:
        assert row.name in text
        for column in row.marked:
            assert f"[{row.cells[column]}]" in text
    known = {n: v.detach() if isinstance(v, minidl.Tensor) else v for n, v in report.values.items()}
    for remedy in report.remedies:
        assert remedy.code in text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = eval(remedy.code, {"minidl": minidl, "nn": nn, "F": F, **known})
        first = result[0] if isinstance(result, tuple) else result
        assert tuple(first.shape) == remedy.shape


def test_the_drawing():
    a, b = r(2, 3), r(4, 5)
    text = str(inspect.why_shape(caught(lambda: a @ b)))
    assert text.splitlines()[0] == "matmul: a @ b sums over K, whose size must be the same in both"
    drawn = [line for line in text.splitlines() if line.strip().startswith(("M", "a ", "b ", "✗"))]
    column = drawn[0].index("K")
    assert drawn[1][column] == "3"
    assert drawn[2][column] == "4"
    assert drawn[3][column] == "✗"
    assert "test_why_shape.py" in text


def test_what_the_user_calls_things():
    pictures, weights = r(2, 3), r(2, 5)
    report = inspect.why_shape(caught(lambda: pictures @ weights))
    assert [row.name for row in report.rows] == ["pictures", "weights"]
    assert report.remedies[0].code == "pictures.mT @ weights"
    x = r(2, 3)
    report = inspect.why_shape(caught(lambda: x @ x))
    assert [row.name for row in report.rows] == ["x", "x"]
    assert report.remedies[0].code == "x @ x.mT"


def test_the_layer_is_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2))
    report = inspect.why_shape(caught(lambda: model(r(2, 3))))
    assert report.layer.startswith("2: Linear(in_features=5")
    assert "in layer 2" in str(report)


def test_as_a_context_manager():
    with pytest.raises(RuntimeError, match="matmul") as info, inspect.why_shape() as explaining:
        r(2, 3) @ r(2, 3)
    assert explaining.report is not None
    assert any("✗" in note for note in info.value.__notes__)
    with inspect.why_shape() as explaining:
        r(2, 3) @ r(3, 2)
    assert explaining.report is None
    with pytest.raises(ValueError, match="mine") as other, inspect.why_shape():
        raise ValueError("mine")
    assert not getattr(other.value, "__notes__", [])


def test_in_colour():
    from rich.console import Console

    report = inspect.why_shape(caught(lambda: r(2, 3) @ r(2, 3)))
    console = Console(force_terminal=True, color_system="standard", width=120)
    with console.capture() as captured:
        console.print(report)
    assert "\x1b[1;31m" in captured.get()
    plain = "\n".join(line.rstrip() for line in str(report).splitlines())
    assert plain == "\n".join(line.rstrip() for line in report.__rich__().plain.splitlines())


@pytest.mark.parametrize(
    "function",
    [
        lambda: r(3).add_(r(2, 3)),
        lambda: r(5).split([2, 2]),
        lambda: minidl.gather(r(2, 3), 1, minidl.zeros(3, 1, dtype=minidl.int64)),
        lambda: r(2, 3).permute(0, 1, 2),
        lambda: nn.MaxPool2d(4)(r(1, 1, 2, 2)),
        lambda: nn.Linear(2, 3).load_state_dict({"weight": r(2, 3), "bias": r(3)}),
        lambda: (r(3).requires_grad_() * 2).backward(r(4)),
        lambda: minidl.cat([]),
    ],
    ids=["in place", "split", "gather", "permute", "pooling", "state dict", "backward", "nothing to join"],
)
def test_other_errors_show_the_operands_and_the_words(function):
    error = caught(function)
    report = inspect.why_shape(error)
    assert report.rule in str(error)
    assert str(report)
    assert not report.remedies


def test_random_numbers_are_left_alone():
    error = caught(lambda: nn.Linear(4, 5)(r(4, 3)))
    minidl.manual_seed(1)
    expected = r(3).tolist()
    minidl.manual_seed(1)
    inspect.why_shape(error)
    assert r(3).tolist() == expected


def test_wrong_use():
    with pytest.raises(TypeError, match="takes an exception"):
        inspect.why_shape("matmul")
    with pytest.raises(ValueError, match="not raised by minidl"):
        inspect.why_shape(RuntimeError("x"))
