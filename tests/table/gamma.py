"""Entries for minidl.ops.gamma."""

import numpy as np

from tests.table.core import error, op

POLES = np.array([0.0, -0.0, np.inf, np.nan])


def between(s, low, high, *lead):
    yield s.sample("matrix", *lead, s.floats(3, 4, low=low, high=high))
    yield s.sample("transposed", *lead, s.floats(3, 4, low=low, high=high).T)
    yield s.sample("0-d", *lead, s.floats(low=low, high=high))
    yield s.sample("size 0", *lead, s.floats(0, 2))
    yield s.sample("expanded", *lead, s.expanded(s.floats(3, 1, low=low, high=high), 3, 4))


def of_gamma(s, *lead):
    yield from between(s, 0.2, 30.0, *lead)
    yield s.sample("below 0", *lead, s.ints(3, 4, low=-9, high=0) + s.floats(3, 4, low=0.3, high=0.7))


def logarithms(s):
    yield from of_gamma(s)
    yield s.sample("large", np.array([50.0, 300.0, 3000.0]), order=1)
    yield s.sample("at poles", np.array([*POLES, -1.0, -2.0, -np.inf]), order=0)
    yield s.sample("near 1 and 2", np.array([1.0, 2.0, 1 + 1e-9, 2 - 1e-9, 1e-300]), order=0)


def inverses(s):
    yield from between(s, -0.95, 0.95)
    yield s.sample("near 1", np.array([1 - 1e-3, 1 - 1e-9, 1 - 1e-15, -1 + 1e-12]), order=0)
    yield s.sample("near 0", np.array([0.0, -0.0, 1e-5, -1e-300]), order=0)
    yield s.sample("at the ends", np.array([1.0, -1.0, 1.5, np.nan, np.inf]), order=0)


def derivatives(s):
    for n in (0, 1, 2, 5):
        for sample in of_gamma(s, n):
            sample.name += f" {n}"
            yield sample
    yield s.sample("at 0", 1, np.array([0.0, np.nan]), order=0)


op("lgamma", logarithms, inplace=True)
op("digamma", lambda s: [*of_gamma(s), s.sample("at poles", np.array([*POLES, -1.0]), order=0)], inplace=True)
op("erfinv", inverses, inplace=True, tolerance={"float16": 2e-2, "bfloat16": 2e-1})
op(
    "polygamma",
    derivatives,
    method=False,
    errors=lambda s: [error("negative", RuntimeError, "negative n", -1, s.positive(3))],
)
