"""Convolutions over their whole signature: windows, strides, paddings, dilations, groups, layouts, sizes 0 and 1."""

from __future__ import annotations

from tests.table.core import error, op
from tests.table.normalization import channels_last

LOOSE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


def random_arguments(s, ndim, transposed):
    """Settings drawn at random, of which each makes a valid call."""
    rng = s.rng
    largest = {1: 5, 2: 3, 3: 2}[ndim]
    kernel = [int(rng.integers(1, largest + 1)) for _ in range(ndim)]
    stride = [int(rng.integers(1, 4)) for _ in range(ndim)]
    dilation = [int(rng.integers(1, 3)) for _ in range(ndim)]
    padding = [int(rng.integers(0, 3)) for _ in range(ndim)]
    size = [max(d * (k - 1) + 1, 2 * p + 1) + int(rng.integers(0, 4)) for k, d, p in zip(kernel, dilation, padding)]
    groups = int(rng.choice([1, 1, 2, 3]))
    inputs, outputs = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
    shape = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    x, w = s.floats(int(rng.integers(1, 3)), inputs, *size), s.floats(*shape, *kernel)
    b = s.floats(outputs) if rng.random() < 0.5 else None
    settings = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation), "groups": groups}
    if transposed:
        settings["output_padding"] = tuple(int(rng.integers(0, max(a, d))) for a, d in zip(stride, dilation))
    return x, w, b, settings


def conv_samples(ndim):
    def samples(s):
        cube = (5, 6, 4)[:ndim]
        window = (3, 2, 2)[:ndim]
        x, w, b = s.floats(2, 3, *cube), s.floats(4, 3, *window), s.floats(4)
        yield s.sample("plain", x, w)
        yield s.sample("bias", x, w, b)
        yield s.sample("all settings", x, w, b, 2, 1, 2, 1)
        yield s.sample("same", x, w, b, padding="same", dilation=2)
        yield s.sample("valid", x, w, padding="valid")
        yield s.sample("unbatched", x[0], w, b, padding=1)
        yield s.sample("one by one", x, s.floats(4, 3, *(1,) * ndim), b)
        yield s.sample("whole window", x, s.floats(2, 3, *cube))
        yield s.sample(
            "one channel, one filter", s.floats(1, 1, *cube), s.floats(1, 1, *window), s.floats(1), padding=1
        )
        yield s.sample("depthwise", x, s.floats(6, 1, *window), s.floats(6), groups=3, padding=1)
        yield s.sample("empty batch", s.floats(0, 3, *cube), w, b)
        yield s.sample("channels last", channels_last(s.floats(2, 3, *cube)), w, b, padding=1)
        yield s.sample("sliced", s.sliced(2, 3, *cube), s.sliced(4, 3, *window), s.sliced(4))
        yield s.sample("expanded", s.expanded(s.floats(1, 3, *cube), 2, 3, *cube), w, padding=1)
        for i in range(12 if ndim < 3 else 6):
            x, w, b, settings = random_arguments(s, ndim, transposed=False)
            yield s.sample(f"random {i}", x, w, b, **settings)

    return samples


def conv_errors(ndim):
    def errors(s):
        cube, window = (5,) * ndim, (3,) * ndim
        x, w = s.floats(2, 3, *cube), s.floats(4, 3, *window)
        name = f"conv{ndim}d"
        yield error("channels", RuntimeError, r"expected input\[2, 3.*to have 2 channels, but got 3", x, w[:, :2])
        yield error("rank", RuntimeError, rf"{ndim + 1}D \(unbatched\) or {ndim + 2}D", s.floats(3), w)
        yield error("large kernel", RuntimeError, "Kernel size can't be greater", s.floats(2, 3, *(2,) * ndim), w)
        yield error("bias", RuntimeError, "bias to be 1-dimensional with 4 elements", x, w, s.floats(3))
        yield error("stride", RuntimeError, "non-positive stride", x, w, stride=0)
        yield error("padding", RuntimeError, "negative padding", x, w, padding=-1)
        yield error("dilation", RuntimeError, "dilation", x, w, dilation=0)
        yield error("groups", RuntimeError, "groups=3", x, s.floats(4, 1, *window), groups=3)
        yield error("same with stride", RuntimeError, "strided", x, w, stride=2, padding="same")
        yield error("padding name", RuntimeError, "Invalid padding string", x, w, padding="full")
        yield error("types", RuntimeError, f"{name}: Input type", x, s.constant(w.astype("float32")))
        yield error("settings for another rank", RuntimeError, "stride", x, w, stride=(1,) * (ndim + 1))
        yield error("no tensor", TypeError, "weight.*must be Tensor", x, 3.0)

    return errors


def transpose_samples(ndim):
    def samples(s):
        cube, window = (4, 3)[:ndim], (3, 2)[:ndim]
        x, w, b = s.floats(2, 3, *cube), s.floats(3, 4, *window), s.floats(4)
        yield s.sample("plain", x, w)
        yield s.sample("all settings", x, w, b, 3, 1, 2, 1, 2)
        yield s.sample("unbatched", x[0], w, b, stride=2)
        yield s.sample("groups", s.floats(2, 4, *cube), s.floats(4, 3, *window), s.floats(6), groups=2, stride=2)
        yield s.sample("empty batch", s.floats(0, 3, *cube), w, b)
        yield s.sample("sliced", s.sliced(2, 3, *cube), s.sliced(3, 4, *window))
        for i in range(10):
            x, w, b, settings = random_arguments(s, ndim, transposed=True)
            yield s.sample(f"random {i}", x, w, b, **settings)

    return samples


def transpose_errors(ndim):
    def errors(s):
        cube, window = (4,) * ndim, (3,) * ndim
        x, w = s.floats(2, 3, *cube), s.floats(3, 4, *window)
        yield error("channels", RuntimeError, "expected input.*to have 2 channels, but got 3", x, w[:2])
        yield error("output padding", RuntimeError, "output padding must be smaller", x, w, output_padding=2)
        yield error("bias", RuntimeError, "bias to be 1-dimensional with 4", x, w, s.floats(3))
        yield error("too small", RuntimeError, "too small", s.floats(2, 3, *(1,) * ndim), w, padding=2)

    return errors


for _n in (1, 2, 3):
    op(
        f"nn.functional.conv{_n}d",
        conv_samples(_n),
        errors=conv_errors(_n),
        tolerance=LOOSE,
        dtype_samples=("plain", "bias", "all settings", "depthwise"),
        linear=False,
    )
for _n in (1, 2):
    op(
        f"nn.functional.conv_transpose{_n}d",
        transpose_samples(_n),
        errors=transpose_errors(_n),
        tolerance=LOOSE,
        dtype_samples=("plain", "all settings", "groups"),
    )
op(
    "nn.functional.conv_transpose3d",
    lambda s: [
        s.sample("plain", s.floats(1, 2, 2, 3, 2), s.floats(2, 2, 2, 2, 1)),
        s.sample("settings", s.floats(1, 2, 2, 3, 2), s.floats(2, 1, 2, 2, 2), s.floats(2), 2, 1, 1, 2, 1),
    ],
    tolerance=LOOSE,
)
