"""Losses: every argument, shapes that broadcast, classes of any dimension."""

from __future__ import annotations

import numpy as np

from tests.table.core import error, op

REDUCTIONS = ("none", "mean", "sum")


def pairwise(s, *, target=None):
    """Samples of a loss of two tensors of one shape: every reduction, every layout."""
    draw = target or s.floats
    out = [s.sample(f"reduction {r}", s.floats(3, 4), draw(3, 4), reduction=r) for r in REDUCTIONS]
    return [
        *out,
        s.sample("zero dimensions", s.floats(), draw()),
        s.sample("empty", s.floats(0, 3), draw(0, 3), reduction="sum"),
        s.sample("size one", s.floats(1, 1), draw(1, 1)),
        s.sample("transposed", s.floats(4, 3).T, draw(3, 4)),
        s.sample("sliced and expanded", s.sliced(3, 4), s.expanded(draw(4), 3, 4)),
        *(
            s.sample(f"random {i}", s.floats(*n), draw(*n), reduction=REDUCTIONS[i % 3])
            for i, n in enumerate(s.rng.integers(1, 5, (4, 3)))
        ),
    ]


def weighted(s):
    return [
        s.sample(f"weight {r}", s.floats(3, 4), s.floats(3, 4), reduction=r, weight=s.positive(3, 4))
        for r in REDUCTIONS
    ]


def clash(s, name_=""):
    return [
        error("unknown reduction", ValueError, "reduction", s.floats(3), s.floats(3), reduction="average"),
    ]


op(
    "nn.functional.mse_loss",
    lambda s: [*pairwise(s), *weighted(s)],
    errors=lambda s: [
        *clash(s),
        error("weight of another shape", ValueError, "same size", s.floats(3, 4), s.floats(3, 4), weight=s.floats(4)),
        error("integers", RuntimeError, "not implemented", s.ints(3), s.ints(3)),
        error("list", (TypeError, AttributeError), "must be Tensor", s.floats(2), [1.0, 2.0]),
    ],
)

op(
    "nn.functional.l1_loss",
    lambda s: [*pairwise(s), *weighted(s)],
    kinks="input = target",
    errors=lambda s: [
        *clash(s),
        error("weight of another shape", ValueError, "same size", s.floats(3, 4), s.floats(3, 4), weight=s.floats(4)),
        error("mean of integers", RuntimeError, "mean", s.ints(3), s.ints(3)),
    ],
)

op(
    "nn.functional.smooth_l1_loss",
    lambda s: [
        *pairwise(s),
        *(s.sample(f"beta {b}", s.floats(3, 4), s.floats(3, 4), beta=b) for b in (0.0, 0, 0.3, 2.5)),
    ],
    kinks="|input - target| = beta in the second order",
    errors=lambda s: [*clash(s), error("negative beta", RuntimeError, "negative", s.floats(3), s.floats(3), beta=-1.0)],
)

op(
    "nn.functional.huber_loss",
    lambda s: [
        *pairwise(s),
        *weighted(s),
        *(s.sample(f"delta {d}", s.floats(3, 4), s.floats(3, 4), delta=d) for d in (0.3, 1, 2.5)),
    ],
    kinks="|input - target| = delta in the second order",
    errors=lambda s: [
        *clash(s),
        error("delta 0", RuntimeError, "non-positive", s.floats(3), s.floats(3), delta=0.0),
        error("weight of another shape", ValueError, "same size", s.floats(3, 4), s.floats(3, 4), weight=s.floats(4)),
    ],
)


# --------------------------------------------------------------------------------------------------------- likelihoods


def bernoulli(s):
    def p(*shape):
        return s.floats(*shape, low=0.05, high=0.95)

    return [
        *(s.sample(f"reduction {r}", p(3, 4), p(3, 4), reduction=r) for r in REDUCTIONS),
        *(s.sample(f"weight {r}", p(3, 4), p(3, 4), s.constant(s.positive(4)), reduction=r) for r in REDUCTIONS),
        s.sample("weight of one column", p(3, 4), p(3, 4), weight=s.constant(s.positive(3, 1))),
        s.sample("zero dimensions", p(), p()),
        s.sample("empty", p(0, 3), p(0, 3), reduction="sum"),
        s.sample("transposed and expanded", p(4, 3).T, s.expanded(p(4), 3, 4)),
        s.sample("certain", np.array([0.0, 0.0, 1.0, 1.0]), s.constant(np.array([0.0, 1.0, 0.0, 1.0])), order=0),
    ]


op(
    "nn.functional.binary_cross_entropy",
    bernoulli,
    errors=lambda s: [
        error("shapes", ValueError, "target size", s.positive(3, 4), s.positive(4)),
        error("input outside [0, 1]", RuntimeError, "input should be between 0 and 1", s.floats(3) * 5, np.zeros(3)),
        error(
            "target outside [0, 1]", RuntimeError, "target should be between 0 and 1", np.full(3, 0.5), np.full(3, 1.5)
        ),
        error("nan", RuntimeError, "between 0 and 1", np.full(3, np.nan), np.zeros(3)),
        error("integer target", RuntimeError, "dtype", np.full(3, 0.5), s.ints(3, high=2)),
        error(
            "weight", RuntimeError, "broadcast|must match", np.full((3, 4), 0.5), np.full((3, 4), 0.5), s.positive(3)
        ),
        error("unknown reduction", ValueError, "reduction", np.full(3, 0.5), np.full(3, 0.5), reduction="x"),
    ],
)


def logits(s):
    def t(*shape):
        return s.floats(*shape, low=0, high=1)

    return [
        *pairwise(s, target=t),
        *(
            s.sample(
                f"weights {r}",
                s.floats(3, 4),
                t(3, 4),
                s.constant(s.positive(4)),
                reduction=r,
                pos_weight=s.constant(s.positive(4)),
            )
            for r in REDUCTIONS
        ),
        s.sample("pos_weight", s.floats(2, 3, 4), t(2, 3, 4), pos_weight=s.constant(s.positive(3, 1))),
        s.sample("weight", s.floats(2, 3, 4), t(2, 3, 4), weight=s.constant(s.positive(2, 1, 4))),
        s.sample("extreme", np.array([1e4, -1e4, 50.0, -50.0]), t(4)),
    ]


op(
    "nn.functional.binary_cross_entropy_with_logits",
    logits,
    errors=lambda s: [
        error("shapes", ValueError, "Target size", s.floats(3, 4), s.floats(4)),
        error(
            "pos_weight",
            RuntimeError,
            r"\(2\).*\(4\).*dimension 1",
            s.floats(3, 4),
            s.floats(3, 4),
            pos_weight=s.positive(2),
        ),
        error("integer target", RuntimeError, "floating", s.floats(3), s.ints(3, high=2)),
        error("unknown reduction", ValueError, "reduction", s.floats(3), s.floats(3), reduction="x"),
    ],
)


def divergence(s):
    quiet = ("none", "sum", "batchmean")
    return [
        *(s.sample(f"reduction {r}", s.floats(3, 4), s.positive(3, 4), reduction=r) for r in quiet),
        *(s.sample(f"log_target {r}", s.floats(3, 4), s.floats(3, 4), reduction=r, log_target=True) for r in quiet),
        s.sample("zero target", s.floats(4), s.constant(np.array([0.0, 1.0, 0.0, 0.5])), reduction="sum"),
        s.sample("broadcast", s.floats(3, 1), s.positive(4), reduction="batchmean"),
        s.sample("zero dimensions", s.floats(), s.positive(), reduction="batchmean"),
        s.sample("empty", s.floats(0, 3), s.positive(0, 3), reduction="sum"),
        s.sample("transposed", s.floats(4, 3).T, s.expanded(s.positive(4), 3, 4), reduction="sum"),
    ]


op(
    "nn.functional.kl_div",
    divergence,
    errors=lambda s: [
        error("shapes", RuntimeError, "dimension 1", s.floats(3, 4), s.positive(2), reduction="sum"),
        error("unknown reduction", ValueError, "reduction", s.floats(3), s.positive(3), reduction="x"),
    ],
)

op(
    "nn.functional.poisson_nll_loss",
    lambda s: [
        *(s.sample(f"log_input {r}", s.floats(3, 4), s.positive(3, 4), reduction=r) for r in REDUCTIONS),
        *(s.sample(f"rate {r}", s.positive(3, 4), s.positive(3, 4), log_input=False, reduction=r) for r in REDUCTIONS),
        s.sample("positional", s.positive(3, 4), s.positive(3, 4), False, True),
        s.sample("full", s.floats(3, 4), s.positive(3, 4, high=9.0), full=True),
        s.sample("eps", s.positive(3, 4), s.positive(3, 4), log_input=False, eps=0.1),
        s.sample("broadcast", s.floats(3, 1), s.positive(4)),
        s.sample("zero dimensions", s.floats(), s.positive()),
        s.sample("empty", s.floats(0, 3), s.positive(0, 3), reduction="sum"),
    ],
    errors=lambda s: [
        error("shapes", RuntimeError, "dimension 1", s.floats(3, 4), s.positive(2)),
        error("unknown reduction", ValueError, "reduction", s.floats(3), s.positive(3), reduction="x"),
    ],
)

op(
    "nn.functional.gaussian_nll_loss",
    lambda s: [
        *(
            s.sample(f"reduction {r}", s.floats(3, 4), s.floats(3, 4), s.positive(3, 4), reduction=r)
            for r in REDUCTIONS
        ),
        s.sample("full", s.floats(3, 4), s.floats(3, 4), s.positive(3, 4), True),
        s.sample("one variance a row", s.floats(3, 4), s.floats(3, 4), s.positive(3, 1)),
        s.sample("without the last dimension", s.floats(2, 3, 4), s.floats(2, 3, 4), s.positive(2, 3)),
        s.sample("one inner variance", s.floats(2, 3, 4), s.floats(2, 3, 4), s.positive(2, 1, 4)),
        s.sample("float", s.floats(3, 4), s.floats(3, 4), 0.5),
        s.sample("clamped", s.floats(3), s.floats(3), np.array([0.0, 0.01, 2.0]), eps=0.1, order=0),
    ],
    errors=lambda s: [
        error("size of var", ValueError, "incorrect size", s.floats(3, 4), s.floats(3, 4), s.positive(2)),
        error("negative var", ValueError, "negative", s.floats(3, 4), s.floats(3, 4), -s.positive(3, 4)),
        error("negative float", ValueError, "negative", s.floats(3, 4), s.floats(3, 4), -1.0),
        error("shapes", RuntimeError, "dimension 1", s.floats(3, 4), s.floats(3, 2), s.positive(3, 4)),
        error("unknown reduction", ValueError, "valid", s.floats(3), s.floats(3), s.positive(3), reduction="x"),
    ],
)


# ------------------------------------------------------------------------------------------------------ classification


def class_indices(s, log=False):
    """Samples of cross_entropy and nll_loss: (C), (N, C), (N, C, d1, …); weights and ignored targets."""
    out = []
    for shape in [(5,), (4, 5), (4, 5, 3), (2, 5, 3, 2), (2, 3, 2, 2, 2), (1, 1), (3, 1)]:
        axis = 1 if len(shape) > 1 else 0
        classes, rest = shape[axis], shape[:axis] + shape[axis + 1 :]
        for r in REDUCTIONS:
            target = s.ints(*rest, high=classes)
            out.append(s.sample(f"{shape} {r}", s.floats(*shape), target, reduction=r))
            weight = s.constant(s.positive(classes))
            out.append(s.sample(f"{shape} weight {r}", s.floats(*shape), target, weight, reduction=r))
            ignored = int(s.rng.integers(0, max(classes - 1, 1)))
            if classes > 1 and rest:
                target = np.where(np.arange(target.size).reshape(rest) % 3 == 1, ignored, target)
                target.flat[0] = classes - 1
                out.append(
                    s.sample(
                        f"{shape} ignored {r}", s.floats(*shape), target, weight, ignore_index=ignored, reduction=r
                    )
                )
                target = np.where(target == ignored, -100, target)
                out.append(s.sample(f"{shape} minus hundred {r}", s.floats(*shape), target, reduction=r))
    return [
        *out,
        s.sample("all ignored sum", s.floats(3, 5), np.full(3, -100), reduction="sum"),
        s.sample("all ignored mean", s.floats(3, 5), np.full(3, -100), order=0),
        s.sample("empty", s.floats(0, 5), s.ints(0), reduction="sum"),
        s.sample("empty none", s.floats(0, 5, 2), s.ints(0, 2), reduction="none"),
        s.sample("empty mean", s.floats(0, 5), s.ints(0), order=0),
        s.sample("vector, target of size 1", s.floats(5), s.ints(1, high=5), order=0),
        s.sample("vector, target of size 1, none", s.floats(5), s.ints(1, high=5), reduction="none", order=0),
        s.sample("uint8", s.floats(4, 5), s.ints(4, high=5, dtype="uint8")),
        s.sample("transposed", s.floats(5, 4).T, s.ints(4, high=5)),
        s.sample("sliced", s.sliced(4, 5), s.ints(8, high=5)[::2]),
        s.sample("expanded", s.expanded(s.floats(5), 4, 5), s.ints(4, high=5)),
    ]


def smoothed(s):
    out = []
    for shape in [(5,), (4, 5), (2, 5, 3)]:
        axis = 1 if len(shape) > 1 else 0
        rest = shape[:axis] + shape[axis + 1 :]
        for r in REDUCTIONS:
            target = s.ints(*rest, high=5)
            weight = s.constant(s.positive(5))
            out.append(s.sample(f"{shape} smoothing {r}", s.floats(*shape), target, reduction=r, label_smoothing=0.1))
            out.append(
                s.sample(
                    f"{shape} smoothing weight {r}", s.floats(*shape), target, weight, reduction=r, label_smoothing=0.3
                )
            )
            if rest:
                target.flat[0] = -100
                out.append(
                    s.sample(
                        f"{shape} smoothing ignored {r}",
                        s.floats(*shape),
                        target,
                        weight,
                        reduction=r,
                        label_smoothing=0.3,
                    )
                )
            p = s.positive(*shape)
            out.append(s.sample(f"{shape} probabilities {r}", s.floats(*shape), p, reduction=r))
            out.append(
                s.sample(
                    f"{shape} probabilities weight {r}", s.floats(*shape), p, weight, reduction=r, label_smoothing=0.2
                )
            )
    return [*out, s.sample("smoothing 1", s.floats(4, 5), s.ints(4, high=5), label_smoothing=1.0)]


def class_errors(s):
    x = s.floats(4, 3)
    return [
        error("out of bounds", IndexError, "Target 12 is out of bounds.*3 classes", x, np.array([0, 1, 2, 12])),
        error("negative", IndexError, "Target -1 is out of bounds", x, np.array([0, 1, 2, -1])),
        error("out of bounds 3-D", IndexError, "Target 5", s.floats(4, 3, 2), np.full((4, 2), 5)),
        error("out of bounds vector", IndexError, "Target 7", s.floats(3), np.array(7)),
        error("batch", ValueError, r"batch_size \(4\).*\(5\)", x, s.ints(5, high=3)),
        error("spatial", RuntimeError, r"\[4, 2\]", s.floats(4, 3, 2), s.ints(4, 3, high=3)),
        error("spatial missing", RuntimeError, r"\[4, 2\]", s.floats(4, 3, 2), s.ints(4, high=3)),
        error("two targets", RuntimeError, "multi-target", x, s.ints(4, 1, high=3)),
        error("4-D", RuntimeError, r"\[4, 2, 2\]", s.floats(4, 3, 2, 2), s.ints(4, 2, 3, high=3)),
        error("float target", RuntimeError, "Long", x, s.floats(4)),
        error("int32 target", RuntimeError, "Long", x, s.ints(4, high=3, dtype="int32")),
        error("size of weight", RuntimeError, "3 classes", x, s.ints(4, high=3), s.positive(4)),
        error("shape of weight", RuntimeError, "3 classes", x, s.ints(4, high=3), s.positive(3, 1)),
        error("type of weight", RuntimeError, "float32", x, s.ints(4, high=3), s.positive(3).astype("float32")),
        error("unknown reduction", ValueError, "reduction", x, s.ints(4, high=3), reduction="x"),
        error("list", TypeError, "target", x, [0, 1, 2, 0]),
        error("vector with two targets", ValueError, "must have size 1", s.floats(3), s.ints(2, high=3)),
    ]


op(
    "nn.functional.cross_entropy",
    lambda s: [*class_indices(s), *smoothed(s)],
    errors=lambda s: [
        *class_errors(s),
        error("smoothing", RuntimeError, "label_smoothing", s.floats(4, 3), s.ints(4, high=3), label_smoothing=2),
        error(
            "ignore_index of probabilities",
            RuntimeError,
            "ignore_index",
            s.floats(4, 3),
            s.positive(4, 3),
            ignore_index=1,
        ),
        error("integer probabilities", RuntimeError, "floating", s.floats(4, 3), s.ints(4, 3)),
        error("integer logits", RuntimeError, "not implemented", s.ints(4, 3), s.ints(4, high=3)),
    ],
)

op(
    "nn.functional.nll_loss",
    class_indices,
    errors=lambda s: [
        *class_errors(s),
        error("zero dimensions", ValueError, "1 or more", s.floats(), np.array(0)),
    ],
)


# ------------------------------------------------------------------------------------------------------------- margins


def signs(s, *shape):
    return np.where(s.bools(*shape), 1.0, -1.0)


op(
    "nn.functional.cosine_embedding_loss",
    lambda s: [
        *(
            s.sample(f"margin {m} {r}", s.floats(6, 4), s.floats(6, 4), s.constant(signs(s, 6)), m, reduction=r)
            for m in (0, 0.3, -0.5)
            for r in REDUCTIONS
        ),
        s.sample("vectors", s.floats(4), s.floats(4), s.constant(np.array(1.0))),
        s.sample("integer target", s.floats(6, 4), s.floats(6, 4), signs(s, 6).astype("int64")),
        s.sample("broadcast", s.floats(6, 4), s.floats(1, 4), s.constant(signs(s, 1))),
        s.sample("transposed", s.floats(4, 6).T, s.sliced(6, 4), s.constant(signs(s, 6))),
    ],
    kinks="cos = margin",
    errors=lambda s: [
        error("target size", RuntimeError, "dimension 0", s.floats(4, 3), s.floats(4, 3), signs(s, 3)),
        error("vector size", RuntimeError, "dimension 1", s.floats(4, 3), s.floats(4, 2), signs(s, 4)),
        error("dimensions", RuntimeError, "2D input", s.floats(3), s.floats(3), signs(s, 1)),
        error("more dimensions", RuntimeError, "2D input", s.floats(2, 2, 3), s.floats(2, 2, 3), signs(s, 2)),
        error("2-D target", RuntimeError, "multi-target", s.floats(4, 3), s.floats(4, 3), signs(s, 4, 1)),
        error("unknown reduction", ValueError, "reduction", s.floats(4, 3), s.floats(4, 3), signs(s, 4), reduction="x"),
    ],
)

op(
    "nn.functional.hinge_embedding_loss",
    lambda s: [
        *(
            s.sample(f"margin {m} {r}", s.floats(5, 3), s.constant(signs(s, 5, 3)), m, reduction=r)
            for m in (1, 0.4)
            for r in REDUCTIONS
        ),
        s.sample("another target", s.floats(3), s.constant(np.array([0.0, 1.0, -1.0]))),
        s.sample("broadcast", s.floats(5, 1), s.constant(signs(s, 3))),
        s.sample("zero dimensions", s.floats(), s.constant(np.array(-1.0))),
    ],
    kinks="input = margin",
    errors=lambda s: [
        error("shapes", RuntimeError, "dimension 0", s.floats(4), signs(s, 3)),
        error("unknown reduction", ValueError, "reduction", s.floats(4), signs(s, 4), reduction="x"),
    ],
)

op(
    "nn.functional.margin_ranking_loss",
    lambda s: [
        *(
            s.sample(f"margin {m} {r}", s.floats(6), s.floats(6), s.constant(signs(s, 6)), m, reduction=r)
            for m in (0, 0.7)
            for r in REDUCTIONS
        ),
        s.sample("broadcast", s.floats(3, 1), s.floats(1, 4), s.constant(signs(s, 3, 4))),
        s.sample("zero dimensions", s.floats(), s.floats(), s.constant(np.array(-1.0))),
    ],
    kinks="t (x1 - x2) = margin",
    errors=lambda s: [
        error("dimensions", RuntimeError, "same dimension", s.floats(4), s.floats(4), signs(s, 4, 1)),
        error("shapes", RuntimeError, "dimension 0", s.floats(4), s.floats(3), signs(s, 4)),
        error("unknown reduction", ValueError, "reduction", s.floats(4), s.floats(4), signs(s, 4), reduction="x"),
    ],
)

op(
    "nn.functional.soft_margin_loss",
    lambda s: [
        *(s.sample(f"reduction {r}", s.floats(3, 4), s.constant(signs(s, 3, 4)), reduction=r) for r in REDUCTIONS),
        s.sample("zero dimensions", s.floats(), s.constant(s.floats())),
        s.sample("broadcast", s.floats(3, 4), s.constant(s.floats(4))),
        s.sample("empty", s.floats(0, 3), s.constant(s.floats(0, 3)), reduction="sum"),
    ],
    errors=lambda s: [error("shapes", RuntimeError, "dimension 0", s.floats(4), signs(s, 3)), *clash(s)],
)


def triplets(s, **settings):
    return [
        *(
            s.sample(f"swap {w} {r}", s.floats(5, 4), s.floats(5, 4), s.floats(5, 4), swap=w, reduction=r, **settings)
            for w in (False, True)
            for r in REDUCTIONS
        ),
        s.sample("margin", s.floats(5, 4), s.floats(5, 4), s.floats(5, 4), margin=0.5, **settings),
        s.sample("vectors", s.floats(4), s.floats(4), s.floats(4), **settings),
        s.sample("broadcast", s.floats(5, 4), s.floats(1, 4), s.floats(5, 4), **settings),
        s.sample("three dimensions", s.floats(2, 3, 4), s.floats(2, 3, 4), s.floats(2, 3, 4), **settings),
    ]


def triplet_errors(s):
    return [
        error("margin", ValueError, "greater than 0", s.floats(4, 3), s.floats(4, 3), s.floats(4, 3), margin=-1.0),
        error("dimensions", RuntimeError, "same number of dimensions", s.floats(4, 3), s.floats(3), s.floats(4, 3)),
        error("shapes", RuntimeError, "dimension 0", s.floats(4, 3), s.floats(2, 3), s.floats(4, 3)),
        error(
            "unknown reduction", ValueError, "reduction", s.floats(4, 3), s.floats(4, 3), s.floats(4, 3), reduction="x"
        ),
    ]


op(
    "nn.functional.triplet_margin_loss",
    lambda s: [
        *triplets(s),
        *(s.sample(f"p {p}", s.floats(5, 4), s.floats(5, 4), s.floats(5, 4), 1.0, p) for p in (1, 3, 1.5)),
        s.sample("eps", s.floats(5, 4), s.floats(5, 4), s.floats(5, 4), eps=0.1),
    ],
    kinks="the loss at 0",
    errors=triplet_errors,
)
op(
    "nn.functional.triplet_margin_with_distance_loss",
    lambda s: [
        *triplets(s),
        s.sample(
            "distance",
            s.floats(5, 4),
            s.floats(5, 4),
            s.floats(5, 4),
            distance_function=lambda a, b: ((a - b) ** 2).sum(-1),
        ),
    ],
    kinks="the loss at 0",
    errors=triplet_errors,
)

op(
    "nn.functional.multi_margin_loss",
    lambda s: [
        *(
            s.sample(f"p {p} margin {m} {r}", s.floats(4, 5), s.ints(4, high=5), p, m, reduction=r)
            for p in (1, 2)
            for m in (1.0, 0.3)
            for r in REDUCTIONS
        ),
        *(
            s.sample(f"weight {r}", s.floats(4, 5), s.ints(4, high=5), weight=s.constant(s.positive(5)), reduction=r)
            for r in REDUCTIONS
        ),
        s.sample("vector", s.floats(5), s.ints(high=5), reduction="none"),
        s.sample("vector, target of size 1", s.floats(5), s.ints(1, high=5), reduction="none", order=0),
        s.sample("empty", s.floats(0, 5), s.ints(0, high=5), reduction="none"),
        s.sample("transposed", s.floats(5, 4).T, s.ints(4, high=5)),
    ],
    kinks="a margin just met",
    errors=lambda s: [
        error("p", ValueError, "p == 1 and p == 2", s.floats(4, 3), s.ints(4, high=3), p=3),
        error("batch", RuntimeError, "target", s.floats(4, 3), s.ints(5, high=3)),
        error("out of range", RuntimeError, "out of range", s.floats(4, 3), s.ints(4) + 5),
        error("size of weight", RuntimeError, "weight size", s.floats(4, 3), s.ints(4, high=3), weight=s.positive(2)),
        error(
            "shape of weight", ValueError, "one-dimensional", s.floats(4, 3), s.ints(4, high=3), weight=s.positive(3, 1)
        ),
        error("three dimensions", RuntimeError, "vector or matrix", s.floats(4, 3, 2), s.ints(4, 2, high=3)),
        error("int32", RuntimeError, "int64", s.floats(4, 3), s.ints(4, high=3, dtype="int32")),
    ],
)

op(
    "nn.functional.multilabel_margin_loss",
    lambda s: [
        *(
            s.sample(
                f"random {i} {r}",
                s.floats(4, 5),
                np.array([[2, 0, -1, 1, 1], [-1] * 5, [4, 3, 2, 1, 0], [1, 1, -1, -1, 3]]),
                reduction=r,
            )
            for i, r in enumerate(REDUCTIONS)
        ),
        s.sample("vector", s.floats(4), np.array([3, 0, -1, 1])),
        s.sample("empty", s.floats(0, 4), s.ints(0, 4), reduction="none"),
    ],
    kinks="a margin just met",
    errors=lambda s: [
        error("shapes", RuntimeError, "inconsistent target size", s.floats(4, 3), s.ints(4, 2, high=3)),
        error("out of range", RuntimeError, "out of range", s.floats(4, 3), s.ints(4, 3) + 5),
        error("below -1", RuntimeError, "out of range", s.floats(3), np.array([0, -2, 1])),
        error("three dimensions", RuntimeError, "vector or matrix", s.floats(4, 3, 2), s.ints(4, 3, 2, high=3)),
        error("unknown reduction", ValueError, "reduction", s.floats(3), s.ints(3, high=3), reduction="x"),
    ],
)

op(
    "nn.functional.multilabel_soft_margin_loss",
    lambda s: [
        *(s.sample(f"reduction {r}", s.floats(4, 5), s.positive(4, 5), reduction=r) for r in REDUCTIONS),
        *(
            s.sample(f"weight {r}", s.floats(4, 5), s.positive(4, 5), s.constant(s.positive(5)), reduction=r)
            for r in REDUCTIONS
        ),
        s.sample("three dimensions", s.floats(2, 3, 4), s.positive(2, 3, 4)),
        s.sample("vector", s.floats(4), s.positive(4)),
    ],
    errors=lambda s: [
        error("shapes", RuntimeError, "dimension 1", s.floats(4, 3), s.floats(4, 2)),
        error("unknown reduction", ValueError, "valid", s.floats(4, 3), s.floats(4, 3), reduction="x"),
    ],
)
