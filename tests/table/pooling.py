"""Pooling over its whole signature."""

from __future__ import annotations

import numpy as np
import torch

from tests.table.core import FLOATS, error, op
from tests.table.normalization import channels_last

F = torch.nn.functional


def max_samples(ndim):
    def samples(s):
        cube = (6, 5, 4)[:ndim]
        x = s.distinct(2, 3, *cube)
        yield s.sample("plain", x, 2)
        yield s.sample("all settings", x, 3, 2, 1, 1, True)
        yield s.sample("overlapping", x, 3, stride=1)
        yield s.sample("dilated", x, 2, stride=1, dilation=2)
        yield s.sample("indices", x, 2, return_indices=True)
        yield s.sample("padded indices", x, 3, 2, 1, return_indices=True)
        yield s.sample("unbatched", x[0], 2)
        yield s.sample("ceil", x, 2, 3, ceil_mode=True)
        yield s.sample("one", s.distinct(1, 1, *(1,) * ndim), 1)
        yield s.sample("empty batch", s.floats(0, 3, *cube), 2)
        yield s.sample("ties", np.zeros((1, 2, *cube)), 2, order=0)
        yield s.sample("channels last", channels_last(s.distinct(2, 3, *cube)), 3, 2, 1)
        yield s.sample("expanded", s.expanded(s.distinct(1, 3, *cube), 2, 3, *cube), 2)
        for i in range(8):
            k = [int(s.rng.integers(1, 4)) for _ in range(ndim)]
            d = [int(s.rng.integers(1, 3)) for _ in range(ndim)]
            p = [int(s.rng.integers(0, a // 2 + 1)) for a in k]
            size = [b * (a - 1) + 1 + int(s.rng.integers(0, 5)) for a, b in zip(k, d)]
            stride = [int(s.rng.integers(1, 4)) for _ in range(ndim)]
            settings = {"stride": tuple(stride), "padding": tuple(p), "dilation": tuple(d)}
            ceil = bool(s.rng.random() < 0.5)
            yield s.sample(f"random {i}", s.distinct(2, 2, *size), tuple(k), ceil_mode=ceil, **settings)

    return samples


def avg_samples(ndim):
    def samples(s):
        cube = (6, 5, 4)[:ndim]
        x = s.floats(2, 3, *cube)
        yield s.sample("plain", x, 2)
        yield s.sample("all settings", x, 3, 2, 1, True, False)
        yield s.sample("overlapping", x, 3, stride=1)
        yield s.sample("padding counts", x, 3, 2, 1, ceil_mode=True)
        yield s.sample("padding does not count", x, 3, 1, 1, count_include_pad=False)
        yield s.sample("unbatched", x[0], 2)
        yield s.sample("empty batch", s.floats(0, 3, *cube), 2)
        yield s.sample("channels last", channels_last(s.floats(2, 3, *cube)), 2)
        if ndim > 1:
            yield s.sample("divisor", x, 2, divisor_override=3)
        for i in range(6):
            k = [int(s.rng.integers(1, 4)) for _ in range(ndim)]
            p = [int(s.rng.integers(0, a // 2 + 1)) for a in k]
            size = [a + int(s.rng.integers(0, 5)) for a in k]
            stride = tuple(int(s.rng.integers(1, 4)) for _ in range(ndim))
            flags = {"ceil_mode": bool(s.rng.random() < 0.5), "count_include_pad": bool(s.rng.random() < 0.5)}
            yield s.sample(f"random {i}", s.floats(2, 2, *size), tuple(k), stride, tuple(p), **flags)

    return samples


def pool_errors(ndim):
    def errors(s):
        x = s.floats(2, 3, *(4,) * ndim)
        yield error("rank", RuntimeError, "Expected", s.floats(*(3,) * (ndim + 3)), 2)
        yield error("padding", RuntimeError, "at most half", x, 2, 1, 2)
        yield error("too small", RuntimeError, "too small", x, 5)
        yield error("stride", RuntimeError, "stride", x, 2, stride=0)

    return errors


for _n in (1, 2, 3):
    op(
        f"nn.functional.max_pool{_n}d",
        max_samples(_n),
        errors=pool_errors(_n),
        kinks="equal maxima: the first one gets the gradient",
        dtype_samples=("plain", "all settings"),
    )
    op(
        f"nn.functional.avg_pool{_n}d",
        avg_samples(_n),
        errors=pool_errors(_n),
        linear=True,
        dtype_samples=("plain", "all settings"),
    )

op(
    "nn.functional.adaptive_avg_pool1d",
    lambda s: [
        s.sample("even", s.floats(2, 3, 6), 3),
        s.sample("uneven", s.floats(2, 3, 7), 3),
        s.sample("more than there are", s.floats(2, 3, 4), 6),
        s.sample("one", s.floats(3, 7), 1),
        s.sample("sliced", s.sliced(2, 3, 5), 2),
    ],
    linear=True,
)
op(
    "nn.functional.adaptive_avg_pool2d",
    lambda s: [
        s.sample("even", s.floats(2, 3, 6, 4), 2),
        s.sample("uneven", s.floats(2, 3, 7, 5), (3, 2)),
        s.sample("keeps", s.floats(2, 3, 7, 5), (None, 2)),
        s.sample("unbatched", s.floats(3, 7, 5), (1, 1)),
        s.sample("channels last", channels_last(s.floats(2, 3, 7, 5)), (4, 6)),
    ],
    linear=True,
    errors=lambda s: [error("rank", RuntimeError, "Expected 3D or 4D", s.floats(3, 4), 2)],
)
op(
    "nn.functional.adaptive_avg_pool3d",
    lambda s: [
        s.sample("even", s.floats(2, 3, 4, 6, 2), 2),
        s.sample("uneven", s.floats(1, 2, 5, 7, 3), (3, 2, 4)),
        s.sample("keeps", s.floats(1, 2, 5, 4, 3), (None, 2, None)),
        s.sample("unbatched", s.floats(2, 3, 4, 5), 1),
        s.sample("empty batch", s.floats(0, 2, 3, 4, 5), 2),
    ],
    linear=True,
)
op(
    "nn.functional.adaptive_max_pool1d",
    lambda s: [
        s.sample("uneven", s.distinct(2, 3, 7), 3),
        s.sample("indices", s.distinct(2, 3, 7), 4, return_indices=True),
        s.sample("unbatched", s.distinct(3, 7), 2),
        s.sample("empty batch", s.floats(0, 3, 7), 2),
    ],
    dtypes=FLOATS,
)
op(
    "nn.functional.adaptive_max_pool2d",
    lambda s: [
        s.sample("even", s.distinct(2, 3, 6, 4), 2),
        s.sample("uneven", s.distinct(2, 3, 7, 5), (3, 2)),
        s.sample("indices", s.distinct(2, 3, 7, 5), (None, 2), return_indices=True),
        s.sample("unbatched", s.distinct(3, 7, 5), (1, 1)),
    ],
)
op(
    "nn.functional.adaptive_max_pool3d",
    lambda s: [
        s.sample("uneven", s.distinct(1, 2, 5, 4, 3), (3, 2, 2)),
        s.sample("indices", s.distinct(2, 1, 3, 4, 5), (None, 2, 3), return_indices=True),
        s.sample("unbatched", s.distinct(2, 3, 4, 5), 2),
    ],
)


def unpool_samples(ndim):
    cube = (6, 5, 4)[:ndim]

    def pooled(s, *settings, size=cube):
        """A pooled tensor's shape with new values, and the places of the maxima."""
        y, places = getattr(F, f"max_pool{ndim}d")(
            torch.tensor(s.distinct(2, 3, *size)), *settings, return_indices=True
        )
        return s.floats(*y.shape), places.numpy()

    def samples(s):
        yield s.sample("plain", *pooled(s, 2), 2, None, 0, cube)
        yield s.sample("smallest", *pooled(s, 2, 3, size=(5,) * ndim), 2, 3)
        yield s.sample("whole shape", *pooled(s, 2, 3, 1), 2, 3, 1, output_size=(2, 3, *cube))
        yield s.sample("unbatched", *(x[0] for x in pooled(s, 2)), 2, output_size=cube)

    return samples


def unpool_errors(ndim):
    def errors(s):
        x, places = s.floats(1, 1, *(2,) * ndim), np.arange(2**ndim).reshape(1, 1, *(2,) * ndim)
        yield error("type", RuntimeError, "int64", x, places.astype("int32"), 2)
        yield error("shape", RuntimeError, "same as that of the input", x, places[..., :1], 2)
        yield error("place", RuntimeError, "invalid max index", x, places + 100, 2)
        yield error("size", ValueError, "output_size", x, places, 2, output_size=(9,) * ndim)
        yield error("sizes", ValueError, "should be a sequence", x, places, 2, output_size=(4,) * (ndim + 1))

    return errors


for _n in (1, 2, 3):
    op(
        f"nn.functional.max_unpool{_n}d",
        unpool_samples(_n),
        errors=unpool_errors(_n),
        linear=True,
        dtype_samples=("plain",),
    )
