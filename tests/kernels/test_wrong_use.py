"""What no kernel is made for: it goes to the reference, or is refused by name, and is the same on every backend."""

import numpy as np
import pytest

import minidl
import minidl.nn.functional as F
from minidl import backends

BACKENDS = list(backends.CHAINS)


@pytest.fixture(params=BACKENDS)
def backend(request):
    with minidl.use_backend(request.param):
        yield request.param


@pytest.mark.parametrize("width", [1, 5, 200, 320])
def test_heads_of_any_width(backend, width):
    rng = np.random.default_rng(width)
    arrays = [rng.standard_normal((1, 2, 3, width)) for _ in "qkv"]
    q, k, v = (minidl.tensor(a.astype(np.float32), requires_grad=True) for a in arrays)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    y.sum().backward()
    with minidl.use_backend("numpy"):
        exact = [minidl.tensor(a, requires_grad=True) for a in arrays]
        expected = F.scaled_dot_product_attention(*exact, is_causal=True)
        expected.sum().backward()
    np.testing.assert_allclose(y.numpy(force=True), expected.numpy(force=True), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip((q, k, v), exact):
        np.testing.assert_allclose(ours.grad.numpy(force=True), theirs.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_float64_stays_float64(backend):
    x = minidl.tensor(np.linspace(-1, 1, 12).reshape(3, 4), requires_grad=True)
    y = F.layer_norm(F.softmax(x, 1), (4,))
    y.square().sum().backward()
    assert (y.dtype, x.grad.dtype) == (minidl.float64, minidl.float64)
    with minidl.use_backend("numpy"):
        np.testing.assert_array_equal(y.numpy(force=True), F.layer_norm(F.softmax(x, 1), (4,)).numpy(force=True))


WRONG = {
    "whole numbers have no softmax": (lambda: F.softmax(minidl.arange(6).reshape(2, 3), 1), "softmax"),
    "whole numbers do not attend": (
        lambda: F.scaled_dot_product_attention(*[minidl.ones(1, 2, 3, dtype=minidl.int64)] * 3),
        "int64",
    ),
    "queries and keys of two widths": (
        lambda: F.scaled_dot_product_attention(minidl.ones(1, 2, 3), minidl.ones(1, 2, 4), minidl.ones(1, 2, 4)),
        r"query \[1, 2, 3\], key \[1, 2, 4\]",
    ),
    "float and double": (lambda: minidl.ones(2, 3) @ minidl.ones(3, 2, dtype=minidl.float64), "float"),
    "inner sizes": (lambda: minidl.ones(2, 3) @ minidl.ones(4, 2), r"\[2, 3\] and \[4, 2\]"),
    "a class that is none": (lambda: F.cross_entropy(minidl.ones(2, 3), minidl.tensor([0, 3])), "3"),
    "a row that is none": (lambda: F.embedding(minidl.tensor([5]), minidl.ones(5, 2)), "5"),
    "channels": (lambda: F.conv2d(minidl.ones(1, 3, 4, 4), minidl.ones(2, 4, 3, 3)), "channels"),
    "a window larger than the image": (lambda: F.max_pool2d(minidl.ones(1, 1, 2, 2), 5), "5"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_refused_alike_on_every_backend(name):
    call, words = WRONG[name]
    said = []
    for backend in BACKENDS:
        with minidl.use_backend(backend), pytest.raises((RuntimeError, IndexError), match=words) as error:
            call()
        said.append((type(error.value), str(error.value)))
    assert len(set(said)) == 1
