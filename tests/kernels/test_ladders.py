"""The ladders: every rung's values and gradients beside PyTorch's in float64 and finite differences; the race's command."""

import importlib

import numpy as np
import pytest

from minidl.bench import ladder
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture)

torch = pytest.importorskip("torch")


def lstm(torch, xw, h, c, w):
    ys = []
    for x in xw:
        i, f, g, o = (x + h @ w.T).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        ys.append(h)
    return torch.stack(ys)


REFERENCE = {
    "softmax": lambda torch, x: torch.softmax(x, 1),
    "matmul": lambda torch, a, b: a @ b,
    "convolution": lambda torch, x, w: torch.nn.functional.conv2d(x, w, padding=tuple(n // 2 for n in w.shape[2:])),
    "lstm": lstm,
    "attention": lambda torch, q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
}
SIZES = {
    "softmax": [(1, 1), (3, 37), (5, 130)],
    "matmul": [(1, 1, 1), (3, 37, 5), (70, 1, 66)],
    "convolution": [(1, 1, 1, 1, 1), (2, 3, 4, 7, 3), (1, 2, 3, 4, 5), (2, 3, 2, 6, 4)],
    "lstm": [(1, 1, 1), (4, 3, 5)],
    "attention": [(1, 1, 1, 1), (2, 3, 37, 5)],
}
RUNGS = [
    pytest.param(room, rung, size, id=f"{room}-{rung.name.replace(' ', '_')}-{size}")
    for room in REFERENCE
    for rung in importlib.import_module(f"minidl_kernels.{room}.ladder").RUNGS
    for size in SIZES[room]
]


def test_there_is_a_ladder_for_each_room_that_teaches_one():
    assert set(ladder.rooms()) == set(REFERENCE)


@pytest.mark.parametrize("room", REFERENCE)
def test_rungs_are_numbered_and_explained(room):
    steps = ladder.ladder(room)
    assert [int(rung.name.split()[0]) for rung in steps.RUNGS] == list(range(1, len(steps.RUNGS) + 1))
    assert all(len(rung.idea) > 30 for rung in steps.RUNGS)
    assert {"numpy", "cupy", "triton"} <= {rung.backend for rung in steps.RUNGS}
    assert [steps.work(size) for size in steps.SIZES[:3]] == sorted(steps.work(size) for size in steps.SIZES[:3])


@pytest.mark.parametrize(("room", "rung", "size"), RUNGS)
def test_values_and_gradients(room, rung, size):
    steps = ladder.ladder(room)
    rng = np.random.default_rng(3)
    wide = steps.arguments(size, rng)
    inputs = [torch.tensor(a, requires_grad=True) for a in wide]
    expected = REFERENCE[room](torch, *inputs)
    if room == "convolution" and size[4] % 2 == 0 and rung.backend in ("cupy", "triton", "numba"):
        assert expected.shape[2] == size[3] + 1  # an even kernel reaches further by one
    g = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(g))
    dtype = np.float64 if rung.backend == "numpy" else np.float32
    narrow = [a.astype(dtype) for a in wide]
    before = [a.copy() for a in narrow]
    y = rung.forward(*narrow)
    gradients = rung.backward(g.astype(dtype), *narrow, y)
    assert len(gradients) == len(inputs)
    tolerance = 1e-10 if dtype is np.float64 else 2e-4
    for found, true in zip((y, *gradients), (expected.detach(), *(x.grad for x in inputs))):
        assert found.shape == tuple(true.shape)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, true.numpy(), rtol=tolerance, atol=tolerance)
    for now, then in zip(narrow, before):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(("room", "rung", "size"), [p for p in RUNGS if p.values[1].backend == "numpy"])
def test_gradients_by_finite_differences(room, rung, size):
    rng = np.random.default_rng(4)
    inputs = ladder.ladder(room).arguments(size, rng)
    y = rung.forward(*inputs)
    g = rng.standard_normal(y.shape)
    gradients = rung.backward(g, *inputs, y)
    directions = [rng.standard_normal(a.shape) for a in inputs]
    step = 1e-6
    ahead, behind = (
        (rung.forward(*(a + sign * step * d for a, d in zip(inputs, directions))) * g).sum() for sign in (1, -1)
    )
    slope = sum((a * d).sum() for a, d in zip(gradients, directions))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("room", REFERENCE)
def test_race(room):
    code, text = invoke("kernels", "ladder", room, "--runs", 1, "--sizes", "0,1")
    assert code == 0, text
    for rung in ladder.ladder(room).RUNGS:
        assert rung.idea in text
    assert "Among the best at" in text
    assert "Loses most at" in text


def test_a_wrong_rung_is_not_timed(monkeypatch):
    steps = ladder.ladder("softmax")
    wrong = type(steps.RUNGS[0])("2 wrong", "forgets to divide", lambda x: np.exp(x), steps.RUNGS[0].backward)
    monkeypatch.setattr(steps, "RUNGS", (wrong, *steps.RUNGS[2:4]))
    with pytest.raises(RuntimeError, match="'2 wrong' is wrong by"):
        ladder.race("softmax", runs=1, sizes=[0])


def test_words_of_a_verdict():
    steps = ladder.ladder("softmax")
    first, second = steps.RUNGS[0], steps.RUNGS[2]
    at = {(first.name, (1, 2)): 1.0, (second.name, (1, 2)): 2.0, (second.name, (3, 4)): 5.0}
    best = {(1, 2): 1.0, (3, 4): 5.0}
    assert ladder.verdict(first, [(1, 2), (3, 4)], at, best) == "Among the best at 1×2. Too slow from 3×4 on."
    assert (
        ladder.verdict(second, [(1, 2), (3, 4)], at, best)
        == "Among the best at 3×4. Loses most at 1×2: 2 times the best."
    )


@pytest.mark.parametrize(("room", "words"), [("dropout", "has no ladder"), ("softmaxx", "softmax")])
def test_rooms_without(room, words):
    code, text = invoke("kernels", "ladder", room)
    assert code == 1
    assert words in text


def test_the_rooms_page_shows_it():
    code, text = invoke("kernels", "show", "softmax", "--backend", "numpy")
    assert code == 0
    assert "an online sum" in text
    assert "minidl kernels ladder softmax" in text
