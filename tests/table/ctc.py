"""Connectionist temporal classification."""

from __future__ import annotations

import numpy as np

from tests.table.core import error, op


def log_probs(s, *shape):
    x = s.floats(*shape)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def samples(s):
    two = np.array([[1, 2, 0], [3, 3, 1]])
    full, lengths = np.array([7, 7]), np.array([2, 3])
    out = []
    for r in ("none", "mean", "sum"):
        out += [
            s.sample(f"padded {r}", log_probs(s, 7, 2, 4), two, full, lengths, reduction=r),
            s.sample(f"shorter inputs {r}", log_probs(s, 9, 2, 4), two, (7, 5), (2, 3), reduction=r),
            s.sample(f"joined {r}", log_probs(s, 7, 2, 4), np.array([1, 2, 3, 3, 1]), (7, 6), (2, 3), 0, r),
            s.sample(f"one sample {r}", log_probs(s, 7, 4), np.array([1, 2]), np.array(7), np.array(2), reduction=r),
            s.sample(f"impossible {r}", log_probs(s, 3, 2, 4), two, (3, 3), (2, 3), reduction=r, zero_infinity=True),
        ]
    for i in range(5):
        steps, batch, classes, longest = (
            int(s.rng.integers(low, high)) for low, high in ((6, 12), (1, 5), (2, 6), (1, 4))
        )
        blank = int(s.rng.integers(classes))
        targets = (blank + 1 + s.ints(batch, longest, high=classes - 1)) % classes
        least = 2 * longest  # room for a blank between any two labels
        out.append(
            s.sample(
                f"random {i}",
                log_probs(s, steps, batch, classes),
                targets,
                s.ints(batch, low=min(least, steps), high=steps + 1),
                s.ints(batch, low=0, high=longest + 1),
                blank,
            )
        )
    return [
        *out,
        s.sample("no labels", log_probs(s, 5, 2, 3), np.array([[1], [2]]), (5, 4), (0, 0), reduction="none"),
        s.sample("no steps", log_probs(s, 5, 2, 3), np.array([[1], [2]]), (0, 4), (0, 1), reduction="none", order=0),
        s.sample("blank among the labels", log_probs(s, 6, 2, 4), np.array([[1, 0], [0, 0]]), (6, 6), (2, 2)),
        s.sample("infinite", log_probs(s, 3, 2, 4), two, (3, 3), (2, 3), reduction="none", order=0),
    ]


def errors(s):
    x, two = log_probs(s, 5, 2, 4), np.array([[1, 2], [3, 1]])
    return [
        error("blank", RuntimeError, "blank must be in label range", x, two, (5, 5), (2, 2), blank=4),
        error("long input", RuntimeError, "at most 5.*6", x, two, (6, 5), (2, 2)),
        error("long target", RuntimeError, "at least 3", x, two, (5, 5), (2, 3)),
        error("one input length", RuntimeError, "input_lengths.*batch_size", x, two, (5,), (2, 2)),
        error("one target length", RuntimeError, "target_lengths.*batch_size", x, two, (5, 5), (2,)),
        error("negative length", RuntimeError, "at least 0", x, two, (5, -5), (2, 2)),
        error("negative target length", RuntimeError, "at least 0", x, two, (5, 5), (2, -2)),
        error("too few labels", RuntimeError, "size 4", x, np.array([1, 2, 3]), (5, 5), (2, 2)),
        error("too many labels", RuntimeError, "size 4", x, np.array([1, 2, 3, 1, 1]), (5, 5), (2, 2)),
        error("batch of targets", RuntimeError, "dimension 0", x, two[:1], (5, 5), (2, 2)),
        error("float lengths", RuntimeError, "integral", x, two, np.array([5.0, 5.0]), np.array([2.0, 2.0])),
        error("unknown reduction", ValueError, "reduction", x, two, (5, 5), (2, 2), reduction="x"),
        error("four dimensions", RuntimeError, r"\(T, N, C\)", x[None], two, (5, 5), (2, 2)),
    ]


# The gradient is PyTorch's: that of the logits, which is not the derivative with respect to log_probs (order 0 keeps
# finite differences away; tests/nn/test_losses.py compares gradients, and takes differences through log_softmax).
op("nn.functional.ctc_loss", samples, dtypes=("float32", "float64"), order=0, errors=errors)
