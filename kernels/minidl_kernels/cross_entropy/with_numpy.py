"""Cross-entropy in blocks of rows that stay in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.rows import each_block, widen


def forward(x: Any, target: Any, weight: Any = None, smoothing: float = 0.0) -> tuple[Any, Any]:
    """``loss, lse`` of each row, in the type that sums are kept in."""
    rows, classes = x.shape
    wide = widen(x.dtype)
    weight = None if weight is None else weight.astype(wide, copy=False)
    loss = np.empty_like(x, wide, shape=(rows,))
    lse = np.empty_like(loss)

    def block(part: slice) -> None:
        xs, t = x[part].astype(wide, copy=False), target[part]
        largest = xs.max(1, keepdims=True)
        largest[~np.isfinite(largest)] = 0  # rows of -inf or with +inf: nan and inf come out by themselves
        e = np.subtract(xs, largest)
        lse[part] = np.log(np.exp(e, out=e).sum(1)) + largest[:, 0]
        own = lse[part] - xs[np.arange(len(xs)), t]
        if weight is not None:
            own *= weight[t]
        if smoothing:
            spread = lse[part] - xs.mean(1) if weight is None else lse[part] * weight.mean() - xs @ weight / classes
            own = (1 - smoothing) * own + smoothing * spread
        loss[part] = own

    each_block(block, rows, classes)
    return loss, lse


def backward(g: Any, x: Any, target: Any, lse: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """∂x; ``g`` (rows,) is the gradient of each row's loss."""
    rows, classes = x.shape
    wide = lse.dtype
    weight = None if weight is None else weight.astype(wide, copy=False)
    dx = np.empty_like(x, shape=x.shape, order="C")

    def block(part: slice) -> None:
        t, gs = target[part], g[part, None]
        out = dx[part] if dx.dtype == wide else np.empty_like(dx[part], wide)
        np.exp(np.subtract(x[part], lse[part, None], out=out), out=out)
        own = wide.type(1 - smoothing) * (1 if weight is None else weight[t])
        if weight is not None:
            out *= (own + smoothing * weight.mean())[:, None]
        if smoothing:
            out -= wide.type(smoothing / classes) * (1 if weight is None else weight)
        out[np.arange(len(out)), t] -= own
        np.multiply(out, gs, out=out)
        if dx.dtype != wide:
            dx[part] = out

    each_block(block, rows, classes)
    return dx
