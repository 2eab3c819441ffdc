"""Activations, over shapes, layouts and settings."""

from __future__ import annotations

import numpy as np

from tests.table.core import error, op


def apart(s, *shape):
    """Values away from the kinks at multiples of ½."""
    return s.rng.choice(np.arange(-8, 8), shape) * 0.5 + s.rng.uniform(0.1, 0.4, shape)


def shapes(s):
    yield s.sample("plain", apart(s, 3, 4))
    yield s.sample("transposed", apart(s, 4, 3).T)
    yield s.sample("channels last", apart(s, 2, 4, 5, 3).transpose(0, 3, 1, 2))
    yield s.sample("expanded", s.expanded(apart(s, 3, 1), 3, 4))
    yield s.sample("0d", apart(s))
    yield s.sample("empty", apart(s, 0, 3))
    yield s.sample("one", apart(s, 1))
    yield s.sample("extreme", np.array([-1e4, -100.0, -30.0, 30.0, 100.0, 1e4]), order=1)


def family(name, settings=(), **more):
    """An entry whose samples are the shapes, and the settings given as keyword arguments."""

    def samples(s):
        yield from shapes(s)
        for kwargs in settings:
            yield s.sample(" ".join(f"{k}={v}" for k, v in kwargs.items()), apart(s, 3, 4), **kwargs)

    op(f"nn.functional.{name}", samples, **more)


INPLACE = {"inplace": True}
KINK = "a convention where the pieces meet"

family("relu", kinks=KINK)
family("leaky_relu", [{"negative_slope": 0.3}, {"negative_slope": -0.5}, {"negative_slope": 0.0}], kinks=KINK)
family("elu", [{"alpha": 0.3}, {"alpha": 2.0}], kinks=KINK)
family("selu", kinks=KINK)
family(
    "celu", [{"alpha": 0.3}, {"alpha": 2.0}], errors=lambda s: [error("zero", RuntimeError, "alpha", s.floats(2), 0)]
)
family(
    "gelu",
    [{"approximate": "tanh"}, {"approximate": "none"}],
    errors=lambda s: [error("approximate", RuntimeError, "none or tanh", s.floats(2), approximate="sigmoid")],
)
family("silu")
family("mish")
family("hardswish", kinks=KINK)
family("hardsigmoid", kinks=KINK)
family(
    "hardtanh",
    [{"min_val": -0.5, "max_val": 2.0}, {"max_val": 0.0}],
    kinks=KINK,
    errors=lambda s: [error("walls", ValueError, "greater", s.floats(2), 1.0, -1.0)],
)
family("relu6", kinks=KINK)
family("softplus", [{"beta": 0.5}, {"beta": 3, "threshold": 4}, {"threshold": 0.5}])
family("softsign")
family("logsigmoid")
family("tanhshrink")
family(
    "softshrink",
    [{"lambd": 1.0}, {"lambd": 0.0}],
    kinks=KINK,
    errors=lambda s: [error("negative", RuntimeError, "lambda", s.floats(2), -1.0)],
)
family("hardshrink", [{"lambd": 1.0}, {"lambd": 0.0}], kinks=KINK)
family("sigmoid")
family("tanh")

op(
    "nn.functional.threshold",
    lambda s: [
        s.sample("plain", apart(s, 3, 4), 0.5, 20.0),
        s.sample("transposed", apart(s, 3, 4).T, -0.5, -7),
        s.sample("0d", apart(s), 0.0, 1.0),
        s.sample("empty", apart(s, 0, 2), 0.0, 1.0),
    ],
    kinks=KINK,
)
op("hardshrink", lambda s: [s.sample("plain", apart(s, 3, 4)), s.sample("lambd", apart(s, 3, 4), 1.5)], kinks=KINK)


def prelu_samples(s):
    yield s.sample("one weight", apart(s, 3, 4), s.floats(1))
    yield s.sample("channels", apart(s, 3, 4), s.floats(4))
    yield s.sample("images", apart(s, 2, 3, 4, 5), s.floats(3))
    yield s.sample("channels last", apart(s, 2, 4, 5, 3).transpose(0, 3, 1, 2), s.floats(3))
    yield s.sample("1d", apart(s, 5), s.floats(1))
    yield s.sample("0d", apart(s), s.floats(1))
    yield s.sample("0d weight", apart(s, 2, 3), s.floats())
    yield s.sample("empty", apart(s, 0, 3), s.floats(3))


def prelu_errors(s):
    yield error("count", RuntimeError, "channel size", s.floats(3, 4), s.floats(3))
    yield error("2d weight", RuntimeError, "1D tensor", s.floats(3, 4), s.floats(2, 2))


op("prelu", prelu_samples, errors=prelu_errors, kinks=KINK)
op("nn.functional.prelu", prelu_samples, errors=prelu_errors, kinks=KINK)


def glu_samples(s):
    yield s.sample("last", s.floats(3, 4))
    yield s.sample("first", s.floats(4, 3), 0)
    yield s.sample("middle", s.floats(2, 6, 3), dim=-2)
    yield s.sample("transposed", s.floats(4, 3).T)
    yield s.sample("empty", s.floats(0, 4))
    yield s.sample("empty halves", s.floats(3, 0))


op(
    "nn.functional.glu",
    glu_samples,
    errors=lambda s: [
        error("odd", RuntimeError, "even", s.floats(3, 5)),
        error("0d", RuntimeError, "0-dim", s.floats()),
        error("dim", IndexError, "out of range", s.floats(2, 4), 2),
    ],
)
op(
    "nn.functional.rrelu",
    lambda s: [
        s.sample("middle", apart(s, 3, 4)),
        s.sample("bounds", apart(s, 3, 4).T, 0.2, 0.6),
        s.sample("no choice", apart(s, 3, 4), 0.25, 0.25, training=True),
    ],
    errors=lambda s: [error("bounds", RuntimeError, "(?i)lower bound", s.floats(2), 0.5, 0.1)],
    kinks=KINK,
)
