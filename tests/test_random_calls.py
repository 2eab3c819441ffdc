"""Random search beyond the table's examples: operators called with random shapes, memory orders and arguments (right
and wrong ones) do what PyTorch does: the same values and gradients, or a refusal of the same type."""

import numpy as np
import pytest
import torch

import minidl
from minidl.autograd import grad
from minidl.tensor import wrap
from tests.table.core import Sample, Samples
from tests.table.run import is_tensor, minidl_arguments, outputs_of, resolve, to_numpy, torch_arguments

DRAWS = 12


def array(s, *shape):
    return s.laid_out(np.asarray(s.floats(*shape)))


def any_array(s, ndim=4):
    return array(s, *s.shape(ndim))


def whole(s, low, high):
    return int(s.rng.integers(low, high))


def axes(s, x):
    return tuple(int(a) for a in s.rng.permutation(x.ndim)[: whole(s, 0, x.ndim + 1)])


def size(x, dim):
    return x.shape[dim] if x.ndim else 1


def with_dim(*more):
    """x, one of its axes, and what the functions ``more`` of (s, x, dim) give."""

    def draw(s):
        x = any_array(s)
        dim = s.dim(x)
        return x, dim, *(f(s, x, dim) for f in more)

    return draw


def of_array(*more):
    """x, and what the functions ``more`` of (s, x) give."""

    def draw(s):
        x = any_array(s)
        return x, *(f(s, x) for f in more)

    return draw


def parts(s):
    x = any_array(s)
    dim = s.dim(x)
    other = list(x.shape)
    if x.ndim:
        other[dim] = whole(s, 0, 4)
    return [x, array(s, *other)], dim


def alike(s):
    x = any_array(s)
    return ([x, array(s, *x.shape)],)


def matrices(s):
    """Stacks of matrices to be multiplied, sometimes with a dimension that does not fit."""
    first, second = s.shapes(2, 2)
    m, k, n = (whole(s, 1, 4) for _ in range(3))
    return array(s, *first, m, k), array(s, *second, k if s.rng.random() < 0.8 else k + 1, n)


def fused_product(s):
    m, k, n = (whole(s, 1, 4) for _ in range(3))
    bias = array(s, *((m, n), (n,), (m, 1), (1, 1), (), (2, m, n))[whole(s, 0, 6)])
    return bias, array(s, m, k), array(s, k, n)


def square(s):
    n = whole(s, 1, 5)
    return s.laid_out(s.floats(*s.shape(1), n, n) + 3 * np.eye(n))


def system(s):
    a = square(s)
    return a, array(s, *a.shape[:-1], whole(s, 1, 4))


def normalized(s):
    shape = tuple(whole(s, 1, 5) for _ in range(whole(s, 2, 5)))
    count = whole(s, 1, len(shape))
    tail = shape[-count:]
    return array(s, *shape), tail, array(s, *tail), array(s, *tail)


def grouped(s):
    groups, each = whole(s, 1, 4), whole(s, 1, 3)
    c = groups * each
    return array(s, 2, c, *(whole(s, 2, 4) for _ in range(whole(s, 1, 3)))), groups, array(s, c), array(s, c)


def gathered(s):
    x = any_array(s, 3)
    dim = s.dim(x)
    index = [whole(s, 0, n + 1) for n in x.shape]
    if x.ndim:
        index[dim] = whole(s, 0, 5)
    return x, dim, s.rng.integers(0, max(size(x, dim), 1), index if 0 not in x.shape else [0] * x.ndim)


CALLS = {
    "transpose": with_dim(lambda s, x, d: s.dim(x)),
    "permute": of_array(lambda s, x: [int(a) - x.ndim * whole(s, 0, 2) for a in s.rng.permutation(x.ndim)]),
    "movedim": with_dim(lambda s, x, d: s.dim(x)),
    "squeeze": with_dim(),
    "unsqueeze": of_array(lambda s, x: whole(s, -x.ndim - 2, x.ndim + 2)),
    "flatten": with_dim(lambda s, x, d: s.dim(x)),
    "flip": of_array(axes),
    "roll": of_array(lambda s, x: whole(s, -5, 6), lambda s, x: s.dim(x)),
    "rot90": of_array(lambda s, x: whole(s, -4, 5), lambda s, x: (s.dim(x), s.dim(x))),
    "tile": of_array(lambda s, x: tuple(whole(s, 0, 3) for _ in range(whole(s, 0, 5)))),
    "Tensor.repeat": of_array(lambda s, x: [whole(s, 0, 3) for _ in range(x.ndim + whole(s, -1, 2))]),
    "Tensor.expand": of_array(lambda s, x: [2, *(whole(s, -1, 4) if n == 1 else n for n in x.shape)]),
    "Tensor.unfold": with_dim(lambda s, x, d: whole(s, 0, size(x, d) + 2), lambda s, x, d: whole(s, 1, 3)),
    "chunk": of_array(lambda s, x: whole(s, 0, 5), lambda s, x: s.dim(x)),
    "split": of_array(lambda s, x: whole(s, 1, 4), lambda s, x: s.dim(x)),
    "tensor_split": of_array(lambda s, x: whole(s, 1, 5), lambda s, x: s.dim(x)),
    "unbind": with_dim(),
    "cat": parts,
    "stack": lambda s: (*alike(s), whole(s, -2, 2)),
    "hstack": alike,
    "vstack": alike,
    "dstack": alike,
    "column_stack": alike,
    "narrow": with_dim(lambda s, x, d: whole(s, 0, size(x, d) + 1), lambda s, x, d: whole(s, 0, 3)),
    "select": with_dim(lambda s, x, d: whole(s, -4, 4)),
    "tril": of_array(lambda s, x: whole(s, -3, 4)),
    "triu": of_array(lambda s, x: whole(s, -3, 4)),
    "diagonal": of_array(lambda s, x: whole(s, -3, 4), lambda s, x: s.dim(x), lambda s, x: s.dim(x)),
    "diag": of_array(lambda s, x: whole(s, -3, 4)),
    "diag_embed": of_array(lambda s, x: whole(s, -2, 3)),
    "gather": gathered,
    "take_along_dim": lambda s: (lambda x, d, i: (x, i, d))(*gathered(s)),
    "cumsum": with_dim(),
    "cumprod": with_dim(),
    "logcumsumexp": with_dim(),
    "diff": of_array(lambda s, x: whole(s, 0, 3), lambda s, x: s.dim(x)),
    "sum": with_dim(lambda s, x, d: bool(whole(s, 0, 2))),
    "mean": of_array(axes, lambda s, x: bool(whole(s, 0, 2))),
    "prod": with_dim(lambda s, x, d: bool(whole(s, 0, 2))),
    "logsumexp": with_dim(lambda s, x, d: bool(whole(s, 0, 2))),
    "amax": with_dim(lambda s, x, d: bool(whole(s, 0, 2))),
    "softmax": with_dim(),
    "log_softmax": with_dim(),
    "linalg.vector_norm": with_dim(),
    "matmul": matrices,
    "addmm": fused_product,
    "linalg.solve": system,
    "linalg.inv": lambda s: (square(s),),
    "linalg.det": lambda s: (square(s),),
    "linalg.slogdet": lambda s: (square(s),),
    "nn.functional.layer_norm": normalized,
    "nn.functional.rms_norm": lambda s: normalized(s)[:3],
    "nn.functional.group_norm": grouped,
    "nn.functional.instance_norm": lambda s: (grouped(s)[0],),
}


def run(function, args, kwargs):
    try:
        return list(outputs_of(function(*args, **kwargs))), None
    except Exception as refusal:
        return None, refusal


def gradients(library_grad, outputs, leaves, tensor):
    rng = np.random.default_rng(0)
    weights = [tensor(np.asarray(rng.standard_normal(tuple(y.shape)))) for y in outputs]
    return library_grad(outputs, leaves, weights, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("name", CALLS)
def test_random_calls(name):
    s = Samples(sum(map(ord, name)))
    for _ in range(DRAWS):
        sample = Sample("random", CALLS[name](s), {})
        args, kwargs, leaves = minidl_arguments(sample, grad=True)
        theirs_args, theirs_kwargs, theirs_leaves = torch_arguments(sample, grad=True)
        what = [a if not is_tensor(a) else a.shape for a in args]
        mine, refusal = run(resolve(minidl, name), args, kwargs)
        theirs, expected = run(resolve(torch, name), theirs_args, theirs_kwargs)
        if expected is not None:
            assert refusal is not None, f"{name} {what}: PyTorch refuses: {expected}"
            assert isinstance(refusal, type(expected)) or isinstance(expected, type(refusal)), f"{name} {what}"
            continue
        assert refusal is None, f"{name} {what}: {refusal!r}"
        assert [y.shape for y in mine] == [tuple(y.shape) for y in theirs], f"{name} {what}"
        for y, reference in zip(mine, theirs):
            np.testing.assert_allclose(to_numpy(y), to_numpy(reference), rtol=1e-8, atol=1e-8, err_msg=f"{name} {what}")
        pairs = [(y, t) for y, t in zip(mine, theirs) if t.requires_grad]
        assert all(y.requires_grad for y, _ in pairs), f"{name} {what}"
        ours = gradients(grad, [y for y, _ in pairs], leaves, wrap)
        for g, reference in zip(
            ours, gradients(torch.autograd.grad, [t for _, t in pairs], theirs_leaves, torch.from_numpy)
        ):
            np.testing.assert_allclose(to_numpy(g), to_numpy(reference), rtol=1e-6, atol=1e-6, err_msg=f"{name} {what}")
