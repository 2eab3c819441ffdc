"""Sequences of different lengths as one batch: padded to the longest, or packed without the padding.

A packed sequence holds the first elements of all sequences, then the second of those that have one, and so on, longest
sequence first: step t is the next ``batch_sizes[t]`` rows of ``data``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl import creation, ops
from minidl.tensor import Tensor, raw, wrap

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


class PackedSequence(_Packed):
    """``data`` (Σ lengths, *), ``batch_sizes`` (T,), and where each sequence of the batch went when it was sorted."""

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    @property
    def is_cuda(self) -> bool:
        return self.data.device.type == "cuda"

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with its data moved or converted: see ``Tensor.to``."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def double(self) -> PackedSequence:
        return self._replace(data=self.data.double())

    def float(self) -> PackedSequence:
        return self._replace(data=self.data.float())


def invert_permutation(permutation: Any) -> Any:
    """Where each number stands in a permutation of 0 … n - 1."""
    return None if permutation is None else wrap(np.argsort(raw(permutation), kind="stable"))


def _lengths(lengths: Any) -> np.ndarray:
    sizes = np.asarray(raw(lengths) if isinstance(lengths, Tensor) else lengths, np.int64)
    if sizes.ndim != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D int64 tensor, but got {sizes.ndim}D")
    return sizes


def places(lengths: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Step and sequence of each row of packed data, for lengths that do not grow."""
    step, which = np.nonzero(np.arange(steps)[:, None] < lengths[None, :])
    return step, which


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Take the padding out of a batch.

    Args:
        input: (T, B, *), or (B, T, *) with ``batch_first``.
        lengths: B whole numbers, from 1 to T.
        enforce_sorted: the lengths fall; False sorts them, and remembers how.

    Raises:
        RuntimeError: lengths that are not sorted, not positive, too long, or not as many as sequences.
    """
    sizes = _lengths(lengths)
    if not len(sizes):
        raise RuntimeError("pack_padded_sequence: Cannot pack empty tensors: there is no sequence")
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        sizes = sizes[order]
        input = ops.index_select(input, 0 if batch_first else 1, wrap(order))
    if batch_first:
        input = input.transpose(0, 1)
    if len(sizes) != input.shape[1]:
        raise RuntimeError(
            f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size="
            f"{input.shape[1]})"
        )
    if (sizes <= 0).any():
        raise RuntimeError(
            f"pack_padded_sequence: Length of all samples has to be greater than 0, but found an element in 'lengths' that "
            f"is <= 0: {sizes.tolist()}"
        )
    if (np.diff(sizes) > 0).any():
        raise RuntimeError(
            f"pack_padded_sequence: `lengths` array must be sorted in decreasing order when `enforce_sorted` is True, got "
            f"{sizes.tolist()}; pass enforce_sorted=False"
        )
    if sizes.max() > input.shape[0]:
        raise RuntimeError(
            f"pack_padded_sequence: Expected lengths of at most {input.shape[0]}, the steps of the input, got {sizes.max()}"
        )
    step, sequence = places(sizes, int(sizes.max()))
    data = input[wrap(step), wrap(sequence)]
    batch_sizes = wrap(np.bincount(step, minlength=int(sizes.max())))
    return PackedSequence(data, batch_sizes, None if order is None else wrap(order))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """Put the padding back: ``(T, B, *)`` (or (B, T, *) with ``batch_first``) and the lengths (B,).

    ValueError if ``total_length`` is shorter than the longest sequence.
    """
    batch_sizes = raw(sequence.batch_sizes)
    steps = len(batch_sizes)
    if total_length is not None and total_length < steps:
        raise ValueError(
            f"Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {steps}"
        )
    lengths = lengths_of(batch_sizes)
    step, which = places(lengths, steps)
    shape = (total_length or steps, len(lengths), *sequence.data.shape[1:])
    padded = creation.full(shape, padding_value, dtype=sequence.data.dtype, device=sequence.data.device)
    padded = ops.index_put(padded, (wrap(step), wrap(which)), sequence.data)
    lengths_tensor = wrap(lengths)
    if sequence.unsorted_indices is not None:
        padded = ops.index_select(padded, 1, sequence.unsorted_indices)
        lengths_tensor = wrap(lengths[raw(sequence.unsorted_indices)])
    return (padded.transpose(0, 1) if batch_first else padded), lengths_tensor


def lengths_of(batch_sizes: np.ndarray) -> np.ndarray:
    """The lengths, longest first, of sequences of which ``batch_sizes[t]`` reach step t."""
    return (batch_sizes[:, None] > np.arange(batch_sizes[0])[None, :]).sum(0)


def pad_sequence(
    sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Sequences (Lᵢ, *) side by side: (T, B, *), or (B, T, *), with T the longest length."""
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be 'left' or 'right', got {padding_side!r}")
    if not len(sequences):
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    longest = max(x.shape[0] for x in sequences)

    def padded(x: Any) -> Any:
        gap = longest - x.shape[0]
        if not gap:
            return x
        filling = creation.full((gap, *x.shape[1:]), padding_value, dtype=x.dtype, device=x.device)
        return ops.cat([x, filling] if padding_side == "right" else [filling, x])

    return ops.stack([padded(x) for x in sequences], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch, each by itself."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [x[: int(n)] for x, n in zip(padded_sequences, _lengths(lengths))]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (Lᵢ, *) packed."""
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences that were packed, each by itself."""
    padded, lengths = pad_packed_sequence(packed_sequences)
    return unpad_sequence(padded, lengths)
