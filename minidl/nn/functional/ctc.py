"""Connectionist temporal classification: the loss of a label sequence that is shorter than the input's.

Graves, Fernández, Gomez & Schmidhuber 2006, "Connectionist Temporal Classification". A path gives each time step a
label or a blank; it stands for the labels that are left when repetitions are merged and then blanks dropped. The
likelihood of the labels l is the sum over all paths that stand for them. With blanks around all labels,
l' = (blank, l₁, blank, l₂, …, blank) of length S = 2L + 1, dynamic programming sums them (equations 6 to 11):

    α_t(s) = y_t(l'_s) · (α_{t-1}(s) + α_{t-1}(s-1) + α_{t-1}(s-2))    the last for labels that differ: l'_s ≠ l'_{s-2}
    β_t(s)   the same from the end

all in logarithms here, over all samples and positions of a step at once.
"""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_float32
from minidl.autograd.tape import Kept, Operator, apply
from minidl.backends import namespace
from minidl.nn.functional.reduction import chosen, reduced, tensors
from minidl.tensor import raw, wrap

__all__ = ["ctc_loss"]


class CTC(Operator):
    """y = -log p, p the probability of each sample's labels under log_probs.

    ∂y/∂log_probs[t, c] = exp(log_probs[t, c]) - Σ_{s: l'_s = c} α_t(s) β_t(s) / (y_t(c) p): the gradient of the
    *logits* behind ``log_probs`` (equation 16), as in PyTorch. Going back through log_softmax leaves it as it is, since
    it sums to 0 over the classes; for log_probs from elsewhere it is not the derivative.
    """

    alpha, likelihood = Kept(), Kept()

    def __init__(self, labels: Any, input_lengths: Any, target_lengths: Any, blank: int, zero_infinity: bool) -> None:
        self.labels, self.input_lengths, self.target_lengths = labels, input_lengths, target_lengths
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Any) -> Any:
        xp = namespace(log_probs)
        x = log_probs.astype("float32", copy=False) if log_probs.dtype.itemsize < 4 else log_probs
        steps, samples, _ = x.shape
        self.states = 2 * self.target_lengths + 1
        emitted = xp.take_along_axis(x, self.path()[None], 2)  # (T, N, S): log y_t(l'_s)
        alpha = xp.full((steps + 1, *emitted.shape[1:]), -xp.inf, x.dtype)
        inside = xp.arange(emitted.shape[2]) < self.states[:, None]
        alpha[0, :, 0] = 0  # before the first step: it may go on to the first blank or the first label
        for t in range(steps):
            alpha[t + 1] = xp.where(inside, emitted[t] + self.arrivals(alpha[t], self.skips(), first=t == 0), -xp.inf)
        rows = xp.arange(samples)
        last = alpha[self.input_lengths, rows]  # (N, S)
        end = xp.logaddexp(
            last[rows, self.states - 1],
            xp.where((self.states > 1) & (self.input_lengths > 0), last[rows, self.states - 2], -xp.inf),
        )
        end = xp.where((self.input_lengths == 0) & (self.target_lengths > 0), -xp.inf, end)
        self.alpha, self.likelihood = alpha, end
        loss = -end
        if self.zero_infinity:
            loss = xp.where(xp.isinf(loss), loss.dtype.type(0), loss)
        self.save(log_probs)
        return loss.astype(log_probs.dtype, copy=False)

    def path(self) -> Any:
        """l', (N, S): the labels with blanks around them."""
        xp = namespace(self.labels)
        path = xp.full((self.labels.shape[0], 2 * self.labels.shape[1] + 1), self.blank, self.labels.dtype)
        path[:, 1::2] = self.labels
        return path

    def skips(self) -> Any:
        """Where a path may jump over the blank between two different labels, (N, S)."""
        labels = self.labels
        may = namespace(labels).zeros((labels.shape[0], 2 * labels.shape[1] + 1), bool)
        may[:, 3::2] = labels[:, 1:] != labels[:, :-1]
        return may

    @staticmethod
    def arrivals(before: Any, skips: Any, first: bool = False) -> Any:
        """log(α(s) + α(s-1) + α(s-2)), the last where a jump is allowed."""
        xp = namespace(before)
        total = before.copy()
        total[:, 1:] = xp.logaddexp(total[:, 1:], before[:, :-1])
        if not first and before.shape[1] > 2:
            total[:, 2:] = xp.logaddexp(total[:, 2:], xp.where(skips[:, 2:], before[:, :-2], -xp.inf))
        return total

    def backward(self, g: Any) -> Any:
        log_probs = self.saved
        xp = namespace(log_probs)
        x = log_probs.astype(self.alpha.dtype, copy=False)
        steps, samples, _ = x.shape
        path, skips = self.path(), self.skips()
        emitted = xp.take_along_axis(x, path[None], 2)
        rows = xp.arange(samples)
        inside = xp.arange(path.shape[1]) < self.states[:, None]
        ahead = xp.zeros_like(skips)
        ahead[:, :-2] = skips[:, 2:]  # a jump that ends two further on
        start = xp.full(path.shape, -xp.inf, x.dtype)
        start[rows, self.states - 1] = 0
        start[rows, xp.maximum(self.states - 2, 0)] = 0
        beta = xp.full(path.shape, -xp.inf, x.dtype)  # after step t, without its emission
        dx = xp.zeros_like(x)
        for t in range(steps - 1, -1, -1):
            here = (t < self.input_lengths)[:, None]
            beta = xp.where((t == self.input_lengths - 1)[:, None], start, beta)
            occupied = xp.exp(self.alpha[t + 1] + beta - self.likelihood[:, None])  # probability of each state
            share = xp.zeros_like(x[t])
            xp.add.at(share, (rows[:, None], path), xp.where(here & inside, occupied, 0))
            dx[t] = xp.where(here, xp.exp(x[t]) - share, 0)
            onward = xp.where(here & inside, beta + emitted[t], -xp.inf)
            beta = onward.copy()
            beta[:, :-1] = xp.logaddexp(beta[:, :-1], onward[:, 1:])
            if path.shape[1] > 2:
                beta[:, :-2] = xp.logaddexp(beta[:, :-2], xp.where(ahead[:, :-2], onward[:, 2:], -xp.inf))
        factor = g.astype(x.dtype, copy=False)[None, :, None]
        if self.zero_infinity:
            return xp.where(xp.isinf(self.likelihood)[None, :, None], x.dtype.type(0), dx * factor)
        return dx * factor

    def composite(self, log_probs: Any) -> Any:
        raise RuntimeError(
            "ctc_loss: the derivative of its gradient is not implemented (nor is it in PyTorch); call backward without "
            "create_graph=True"
        )


@in_float32
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """-log of the likelihood of label sequences under all alignments.

    Args:
        log_probs: (T, N, C), or (T, C): log_softmax of the scores.
        targets: (N, S) padded, or (sum of target_lengths) one after the other: labels, none of them ``blank``.
        input_lengths, target_lengths: (N,) integers: tensors, lists or tuples; or () for a single sample.
        reduction: "mean" divides each loss by its target length (at least 1) and averages; "sum"; "none".
        zero_infinity: losses that are infinite (the input is too short for the labels) and their gradients become 0.

    Raises:
        RuntimeError: lengths or sizes that do not fit, or are not integers; a blank that is no class.
    """
    name = "ctc_loss"
    tensors(name, log_probs=log_probs, targets=targets)
    reduction = chosen(reduction)
    if raw(log_probs).dtype.kind in "iub":
        raise RuntimeError(f"{name}(): not implemented for log_probs of type {log_probs.dtype}")
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(f"{name}(): Expected log_probs of (T, N, C) or (T, C), got shape {list(log_probs.shape)}")
    single = log_probs.ndim == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
    samples, classes = log_probs.shape[1:]
    if not 0 <= blank < classes:
        raise RuntimeError(f"{name}(): blank must be in label range: 0 to {classes - 1}, got {blank}")
    xp = namespace(raw(log_probs))
    input_lengths = _lengths("input_lengths", input_lengths, samples, log_probs.shape[0], xp)
    target_lengths = _lengths("target_lengths", target_lengths, samples, None, xp)
    labels = _padded(raw(targets), target_lengths, samples, single, xp)
    used = xp.arange(labels.shape[1]) < target_lengths[:, None]
    labels = xp.where(used, labels, blank)
    if bool(((labels < 0) | (labels >= classes)).any()):
        raise RuntimeError(f"{name}(): targets must be in label range: 0 to {classes - 1}, got {int(labels.max())}")
    loss = apply(CTC(labels, input_lengths, target_lengths, blank, zero_infinity), log_probs)
    if reduction == "mean":
        return ops.mean(loss / wrap(xp.maximum(target_lengths, 1).astype(raw(loss).dtype)))
    return reduced(loss.reshape(()) if single else loss, reduction)


def _lengths(argument: str, value: Any, samples: int, most: int | None, xp: Any) -> Any:
    lengths = xp.asarray(raw(value) if not isinstance(value, (tuple, list)) else [raw(v) for v in value])
    if lengths.size and lengths.dtype.kind not in "iu":
        raise RuntimeError(f"ctc_loss(): {argument} must be integral, not {lengths.dtype}")
    lengths = lengths.reshape(-1).astype("int64")
    if len(lengths) != samples:
        raise RuntimeError(f"ctc_loss(): {argument} must be of size batch_size: {samples}, not {len(lengths)}")
    if samples and lengths.min() < 0:
        raise RuntimeError(f"ctc_loss(): Expected {argument} to have value at least 0, but got {int(lengths.min())}")
    if samples and most is not None and lengths.max() > most:
        raise RuntimeError(
            f"ctc_loss(): Expected {argument} to have value at most {most}, the steps of log_probs, but got value "
            f"{int(lengths.max())}"
        )
    return lengths


def _padded(targets: Any, lengths: Any, samples: int, single: bool, xp: Any) -> Any:
    """Targets as (N, longest)."""
    if single and targets.ndim == 1:
        targets = targets[None]
    longest = int(lengths.max()) if samples else 0
    if targets.ndim == 2:
        if targets.shape[0] != samples:
            raise RuntimeError(
                f"ctc_loss(): Expected targets to have size {samples} (the batch size) at dimension 0, got shape "
                f"{list(targets.shape)}"
            )
        if targets.shape[1] < longest:
            raise RuntimeError(
                f"ctc_loss(): Expected targets to have size at least {longest} (the longest target length) at "
                f"dimension 1, got shape {list(targets.shape)}"
            )
        return targets[:, :longest].astype("int64")
    if targets.ndim != 1 or targets.shape[0] != lengths.sum():
        raise RuntimeError(
            f"ctc_loss(): Expected targets to have size {int(lengths.sum())} (the sum of target_lengths) at dimension "
            f"0, or shape (N, S), got shape {list(targets.shape)}"
        )
    padded = xp.zeros((samples, longest), "int64")
    padded[xp.arange(longest) < lengths[:, None]] = targets
    return padded
