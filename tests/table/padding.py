"""Padding in all modes and ranks."""

from __future__ import annotations

from tests.table.core import ALL, error, op
from tests.table.normalization import channels_last


def samples(s):
    yield s.sample("one dim", s.floats(3, 4), (1, 2))
    yield s.sample("two dims", s.floats(2, 3, 4), (1, 2, 0, 3))
    yield s.sample("value", s.floats(2, 3), (1, 1), "constant", 2.5)
    yield s.sample("negative", s.floats(4, 5), (-1, 2, 1, -2), value=0.5)
    yield s.sample("all dims", s.floats(2, 3), (1, 0, 0, 1))
    yield s.sample("nothing", s.floats(2, 3), ())
    yield s.sample("empty", s.floats(0, 3), (1, 1, 2, 0))
    yield s.sample("vector", s.floats(3), (2, 0))
    for mode in ("reflect", "replicate", "circular"):
        yield s.sample(f"{mode} 1d", s.floats(2, 3, 5), (2, 3), mode)
        yield s.sample(f"{mode} 1d unbatched", s.floats(3, 5), (1, 4), mode)
        yield s.sample(f"{mode} 2d", s.floats(2, 3, 4, 5), (2, 1, 3, 0), mode)
        yield s.sample(f"{mode} 2d unbatched", s.floats(3, 4, 5), (1, 2, 1, 1), mode)
        yield s.sample(f"{mode} 3d", s.floats(1, 2, 3, 4, 3), (1, 2, 0, 3, 2, 1), mode)
        yield s.sample(f"{mode} channels last", channels_last(s.floats(2, 3, 4, 5)), (1, 1, 2, 2), mode)
    yield s.sample("replicate negative", s.floats(2, 3, 5), (-1, 2), "replicate")
    for before, after in ((1, -2), (-2, 2), (-1, -1), (2, -1)):
        yield s.sample(f"circular cut {before} {after}", s.floats(2, 3, 4), (before, after), "circular")
    yield s.sample("circular all cut", s.floats(2, 3, 4), (0, -4), "circular")
    yield s.sample("replicate more than there is", s.floats(2, 3, 4), (-5, 5), "replicate")
    yield s.sample("reflect negative", s.floats(2, 3, 4, 5), (-2, 3, 1, -1), "reflect")
    yield s.sample("circular whole", s.floats(2, 3, 4), (4, 4), "circular")
    for i in range(8):
        ndim = int(s.rng.integers(1, 5))
        shape = s.rng.integers(1, 5, ndim)
        sides = s.rng.integers(-1, 4, 2 * int(s.rng.integers(1, ndim + 1)))
        if all(n + sides[2 * j] + sides[2 * j + 1] >= 0 for j, n in enumerate(shape[::-1][: len(sides) // 2])):
            yield s.sample(f"random {i}", s.floats(*shape), tuple(int(x) for x in sides), value=float(i))


op(
    "nn.functional.pad",
    samples,
    dtypes=ALL,
    dtype_samples=("one dim", "value", "reflect 2d", "circular 1d", "replicate 1d"),
    errors=lambda s: [
        error("odd", RuntimeError, "divisible by 2", s.floats(3), (1, 2, 3)),
        error("too many", RuntimeError, "padding length 4 and input of dimension 1", s.floats(3), (1, 1, 1, 1)),
        error("negative size", RuntimeError, "negative output size", s.floats(3), (-2, -2)),
        error(
            "reflect too far",
            RuntimeError,
            r"less than the corresponding.*size 3",
            s.floats(1, 2, 3),
            (3, 0),
            "reflect",
        ),
        error("circular too far", RuntimeError, "more than once", s.floats(1, 2, 3), (4, 0), "circular"),
        error("cut more than there is", RuntimeError, "negative output size", s.floats(2, 2), (3, -3)),
        error(
            "cut, sides for another rank", NotImplementedError, "only 2D", s.floats(1, 2), (1, 1, -1, -1), "circular"
        ),
        error("nothing left", RuntimeError, "leaves nothing", s.floats(1, 2, 4), (0, -4), "replicate"),
        error("value", RuntimeError, "value argument", s.floats(1, 2, 4), (1, 1), "reflect", 1.0),
        error("value too large", RuntimeError, "not between 0 and 255", s.ints(3, dtype="uint8"), (1, 1), value=300),
        error("value nan", RuntimeError, "overflow", s.ints(3), (1, 1), value=float("nan")),
        error("mode", NotImplementedError, "Unrecognised padding mode", s.floats(1, 2, 3), (1, 1), "mirror"),
        error("rank", NotImplementedError, "non-constant", s.floats(3), (1, 1), "reflect"),
    ],
)
