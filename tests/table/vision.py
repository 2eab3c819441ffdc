"""Resampling, shuffling, unfolding."""

from __future__ import annotations

import torch

from tests.table.core import error, op

F = torch.nn.functional


def interpolate_samples(s):
    shapes = {1: (2, 3, 5), 2: (2, 3, 4, 5), 3: (1, 2, 3, 4, 3)}
    for mode, ndims in {
        "nearest": (1, 2, 3),
        "nearest-exact": (1, 2, 3),
        "area": (1, 2, 3),
        "linear": (1,),
        "bilinear": (2,),
        "bicubic": (2,),
        "trilinear": (3,),
    }.items():
        for n in ndims:
            x = s.floats(*shapes[n])
            corners = (None, True, False) if "linear" in mode or "cubic" in mode else (None,)
            for align in corners:
                name = f"{mode} {n}d" + ("" if align is None else f" align {align}")
                extra = {} if align is None else {"align_corners": align}
                yield s.sample(f"{name} up", x, size=(7, 6, 5)[:n], mode=mode, **extra)
                yield s.sample(f"{name} down", x, size=(2, 3, 2)[:n], mode=mode, **extra)
                if mode != "area":
                    yield s.sample(f"{name} factor", x, scale_factor=1.7, mode=mode, **extra)
    x = s.floats(2, 3, 4, 5)
    yield s.sample("int size", x, 6)
    yield s.sample("two factors", x, scale_factor=(0.5, 2.3), mode="bilinear")
    yield s.sample("recomputed", x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True)
    yield s.sample("same size", x, scale_factor=1.15, mode="bilinear")
    yield s.sample("empty batch", s.floats(0, 3, 4, 5), 6, mode="bilinear")
    yield s.sample("to one", x, size=1, mode="bilinear", align_corners=True)
    yield s.sample("sliced", s.sliced(2, 3, 4, 5), size=(3, 7), mode="bilinear")
    for mode in ("bilinear", "bicubic", "lanczos"):
        y = s.floats(2, 2, 9, 7)
        yield s.sample(f"{mode} antialias down", y, size=(3, 2), mode=mode, antialias=True)
        yield s.sample(f"{mode} antialias up", y, size=(4, 11), mode=mode, antialias=True)
        yield s.sample(f"{mode} antialias factor", y, scale_factor=(0.3, 0.55), mode=mode, antialias=True)
    yield s.sample(
        "antialias align", s.floats(1, 1, 8, 9), (3, 4), None, "bilinear", align_corners=True, antialias=True
    )
    yield s.sample("antialias cubic align", s.floats(1, 1, 8, 9), (3, 4), None, "bicubic", True, antialias=True)


op(
    "nn.functional.interpolate",
    interpolate_samples,
    linear=True,
    dtype_samples=("int size", "bilinear 2d up", "bicubic 2d down", "nearest 2d up"),
    tolerance={"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2},
    errors=lambda s: [
        error("neither", ValueError, "either size or scale_factor", s.floats(1, 1, 2)),
        error("both", ValueError, "only one of size or scale_factor", s.floats(1, 1, 2), 3, 2.0),
        error("mode for rank", NotImplementedError, "bilinear", s.floats(1, 1, 2), 3, mode="bilinear"),
        error("align nearest", ValueError, "align_corners", s.floats(1, 1, 2), 3, align_corners=True),
        error("sizes", ValueError, "spatial dimensions", s.floats(1, 1, 2, 2), (3, 3, 3)),
        error("size float", TypeError, "tuple of ints", s.floats(1, 1, 2, 2), 2.5),
        error("whole numbers", NotImplementedError, "not implemented for", s.ints(1, 1, 2, 2), 3, mode="bilinear"),
        error("antialias mode", ValueError, "restricted to", s.floats(1, 1, 2), 3, mode="linear", antialias=True),
        error("lanczos alone", ValueError, "requires antialias", s.floats(1, 1, 2, 2), 3, mode="lanczos"),
        error("lanczos align", ValueError, "Lanczos", s.floats(1, 1, 2, 2), 3, None, "lanczos", True, None, True),
        error("size 0", RuntimeError, "greater than 0", s.floats(1, 1, 2, 2), 0),
    ],
)


def grid_samples(s):
    for ndim, modes in ((2, ("bilinear", "nearest", "bicubic")), (3, ("bilinear", "nearest"))):
        shape = (2, 3, 4, 5) if ndim == 2 else (1, 2, 3, 4, 3)
        out = (3, 6) if ndim == 2 else (2, 3, 2)
        for mode in modes:
            for padding in ("zeros", "border", "reflection"):
                for align in (True, False):
                    grid = s.floats(shape[0], *out, ndim, low=-1.4, high=1.4)
                    order = 0 if mode == "nearest" else 2
                    name = f"{mode} {ndim}d {padding} align {align}"
                    x = s.floats(*shape)
                    yield s.sample(name, x, grid, mode=mode, padding_mode=padding, align_corners=align, order=order)
                    # Places at whole values, edges and folds.
                    sides = (5 if align else 4,) * ndim
                    x, grid = s.floats(shape[0], 3, *sides), s.ints(shape[0], *out, ndim, low=-7, high=8) / 4
                    kinks = {"mode": mode, "padding_mode": padding, "align_corners": align, "kink": True}
                    yield s.sample(f"{name} kinks", x, grid, **kinks)
    x = s.floats(1, 2, 1, 3)
    for padding in ("border", "reflection"):
        yield s.sample(
            f"one row {padding}", x, s.floats(1, 2, 3, 2), padding_mode=padding, align_corners=True, kink=True
        )
    yield s.sample("sliced", s.sliced(1, 2, 3, 4), s.sliced(1, 3, 2, 2) / 2, align_corners=False)


op(
    "nn.functional.grid_sample",
    grid_samples,
    dtypes=("float32", "float64"),
    tolerance={"float32": 1e-3},
    kinks="places at whole values, at the border and at the folds of reflection",
    torch=lambda x, grid, **kw: F.grid_sample(x, grid, **kw),
    errors=lambda s: [
        error("mode", ValueError, "expected mode", s.floats(1, 1, 2, 2), s.floats(1, 2, 2, 2), mode="linear"),
        error("padding", ValueError, "padding_mode", s.floats(1, 1, 2, 2), s.floats(1, 2, 2, 2), padding_mode="wrap"),
        error(
            "grid", RuntimeError, "size 2 in its last", s.floats(1, 1, 2, 2), s.floats(1, 2, 2, 3), align_corners=True
        ),
        error(
            "types",
            RuntimeError,
            "dtype",
            s.floats(1, 1, 2, 2).astype("float32"),
            s.floats(1, 2, 2, 2),
            align_corners=True,
        ),
        error("batch", RuntimeError, "batch", s.floats(2, 1, 2, 2), s.floats(1, 2, 2, 2), align_corners=True),
    ],
)
op(
    "nn.functional.affine_grid",
    lambda s: [
        s.sample("2d", s.floats(2, 2, 3), (2, 3, 4, 5), align_corners=False),
        s.sample("2d aligned", s.floats(2, 2, 3), [2, 3, 4, 5], align_corners=True),
        s.sample("3d", s.floats(1, 3, 4), (1, 2, 3, 4, 2), align_corners=False),
        s.sample("one", s.floats(1, 2, 3), (1, 1, 1, 1), align_corners=False),
    ],
    dtypes=("float32", "float64"),
    errors=lambda s: [error("theta", ValueError, "affine matrices", s.floats(2, 3), (2, 3, 4, 5), align_corners=True)],
)
op(
    "nn.functional.pixel_shuffle",
    lambda s: [
        s.sample("two", s.floats(2, 8, 3, 2), 2),
        s.sample("three", s.floats(9, 2, 1), 3),
        s.sample("batches", s.floats(2, 3, 4, 2, 2), 2),
        s.sample("sliced", s.sliced(1, 4, 2, 3), 2),
    ],
    linear=True,
    errors=lambda s: [
        error("channels", RuntimeError, r"size\(-3\)=3 is not divisible by 4", s.floats(1, 3, 2, 2), 2),
        error("rank", RuntimeError, "at least 3", s.floats(4, 4), 2),
    ],
)
op(
    "nn.functional.pixel_unshuffle",
    lambda s: [s.sample("two", s.floats(2, 2, 4, 6), 2), s.sample("three", s.floats(1, 3, 6), 3)],
    linear=True,
    errors=lambda s: [error("height", RuntimeError, "height=3", s.floats(1, 1, 3, 4), 2)],
)
op(
    "nn.functional.channel_shuffle",
    lambda s: [s.sample("two", s.floats(2, 6, 3, 2), 2), s.sample("three", s.floats(1, 6, 2), 3)],
    linear=True,
    errors=lambda s: [error("groups", RuntimeError, "divisible by groups", s.floats(1, 5, 2, 2), 2)],
)
op(
    "nn.functional.unfold",
    lambda s: [
        s.sample("plain", s.floats(2, 3, 4, 5), 2),
        s.sample("settings", s.floats(2, 3, 6, 7), (2, 3), 2, 1, (1, 2)),
        s.sample("unbatched", s.floats(3, 4, 5), (3, 2), padding=1),
        s.sample("empty batch", s.floats(0, 3, 4, 5), 2),
        s.sample("sliced", s.sliced(2, 3, 4, 5), 2),
    ],
    linear=True,
    errors=lambda s: [
        error("too small", RuntimeError, "at least one", s.floats(1, 1, 2, 2), 3),
        error("rank", RuntimeError, "3D or 4D", s.floats(1, 2, 3, 2, 2), 1),
    ],
)
op(
    "nn.functional.fold",
    lambda s: [
        s.sample("plain", s.floats(2, 12, 12), (4, 5), 2),
        s.sample("settings", s.floats(2, 18, 18), (6, 7), (2, 3), 2, 1, (1, 2)),
        s.sample("unbatched", s.floats(12, 12), (4, 5), 2),
        s.sample("sliced", s.sliced(1, 4, 12), (4, 5), 2),
    ],
    linear=True,
    errors=lambda s: [
        error("blocks", RuntimeError, "sliding blocks 3 \\* 4 = 12", s.floats(2, 12, 11), (4, 5), 2),
        error("columns", RuntimeError, "divisible by the product", s.floats(2, 11, 12), (4, 5), 2),
    ],
)
