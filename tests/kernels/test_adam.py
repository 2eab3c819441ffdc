"""The kernels of Adam and SGD on arrays of any length and layout, and how they are cut into pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minidl_kernels import adam, pieces, sgd
from minidl_kernels.adam import with_numpy as adam_numpy
from minidl_kernels.sgd import with_numpy as sgd_numpy

SIZES = [0, 1, 7, pieces.PIECE - 1, pieces.PIECE, pieces.PIECE + 1, pieces.WORTH_THREADS + 12345]


def adam_by_the_book(x, g, m, v, v_max, t, *, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """The equations of the room's docstring, one line each."""
    g = -g if maximize else g
    if decoupled:
        x = (1 - lr * weight_decay) * x
    else:
        g = g + weight_decay * x
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    if v_max is not None:
        v_max = np.maximum(v, v_max)
    spread = np.sqrt((v if v_max is None else v_max) / (1 - beta2**t)) + eps
    return x - lr * m / (1 - beta1**t) / spread, m, v, v_max


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("amsgrad", "decoupled", "maximize"), [(False, False, False), (True, False, True), (False, True, False)]
)
def test_adam_follows_the_equations(size, amsgrad, decoupled, maximize):
    rng = np.random.default_rng(size)
    x, g, m = rng.standard_normal((3, size))
    v = rng.uniform(size=size)
    v_max = rng.uniform(size=size) if amsgrad else None
    kept = g.copy()
    settings = {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.2}
    expected = adam_by_the_book(x, g, m, v, v_max, 3, **settings, decoupled=decoupled, maximize=maximize)
    adam_numpy.step([x], [g], [m], [v], [v_max], [3.0], **settings, decoupled=decoupled, maximize=maximize)
    for found, right in zip((x, m, v, v_max), expected):
        if right is not None:
            np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(g, kept, "the gradient is left as it was")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_follows_the_equations(size, nesterov):
    rng = np.random.default_rng(size)
    x, g, b = rng.standard_normal((3, size))
    kept = g.copy()
    d = g + 0.1 * x
    right_b = 0.9 * b + (0.7 if not nesterov else 1.0) * d
    right_x = x - 0.5 * (d + 0.9 * right_b if nesterov else right_b)
    dampening = 0.0 if nesterov else 0.3
    sgd_numpy.step([x], [g], [b], lr=0.5, momentum=0.9, dampening=dampening, weight_decay=0.1, nesterov=nesterov)
    np.testing.assert_allclose(x, right_x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(b, right_b, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(g, kept)


LAYOUTS = {
    "rows": lambda a: a,
    "columns": lambda a: np.asfortranarray(a),
    "gaps": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 4), (2, pieces.PIECE), (300, 400)])
def test_every_element_is_visited_once_whatever_the_layout(layout, shape):
    values = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    x, y = LAYOUTS[layout](values.copy()), values.copy()

    def update(a, b, spare):
        np.multiply(b, 2, out=spare)
        np.add(a, spare, out=a)
        np.add(b, 1, out=b)

    pieces.each_piece(update, (x, y), scratch=1)
    np.testing.assert_array_equal(x, 3 * values)
    np.testing.assert_array_equal(y, values + 1)


def test_half_precision_is_worked_on_in_float32():
    seen = []

    def update(x, g):
        seen.append(x.dtype)
        x += g

    x = np.ones(5, np.float16)
    pieces.each_piece(update, (x, np.full(5, 0.25, np.float16)))
    assert seen == [np.float32]
    assert x.dtype == np.float16
    assert x.tolist() == [1.25] * 5


def test_costs():
    assert adam.nbytes(10) == 10 * 4 * 7
    assert adam.flops(10) == 120
    assert sgd.nbytes(10) == 120
    assert sgd.nbytes(10, 8, momentum=True) == 400
    assert sgd.flops(10, momentum=True) == 2 * sgd.flops(10)
