"""Cross-entropy in blocks of rows that stay in the cache while they are read several times."""

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
        xs, ys = x[part].astype(wide, copy=False), target[part]
        largest = xs.max(1, keepdims=True)
        e = xs - largest
        own = e[np.arange(len(ys)), ys]
        if smoothing:
            spread = e.mean(1) if weight is None else e @ weight / classes
        rest = np.log(np.exp(e, out=e).sum(1))  # lse - largest
        lse[part] = rest + largest[:, 0]
        own = rest - own
        if weight is not None:
            own *= weight[ys]
        if smoothing:
            spread = rest * (1 if weight is None else weight.mean()) - spread
            own = (1 - smoothing) * own + smoothing * spread
        loss[part] = own

    each_block(block, rows, classes)
    return loss, lse


def backward(g: Any, x: Any, target: Any, lse: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """∂x in the type of ``x``; ``g`` (rows,) is the gradient of each row's loss."""
    rows, classes = x.shape
    wide = lse.dtype
    weight = None if weight is None else weight.astype(wide, copy=False)
    dx = np.empty_like(x, shape=x.shape, order="C")

    def block(part: slice) -> None:
        ys, gs = target[part], g[part]
        out = dx[part] if dx.dtype == wide else np.empty_like(dx[part], wide)
        np.exp(np.subtract(x[part], lse[part, None], out=out), out=out)
        own = gs * (1 - smoothing) if weight is None else gs * weight[ys] * (1 - smoothing)
        total = own
        if smoothing:
            total = own + gs * (smoothing if weight is None else smoothing * weight.mean())
        out *= total[:, None]
        if smoothing:
            share = gs[:, None] * (smoothing / classes)
            out -= share if weight is None else share * weight
        out[np.arange(len(ys)), ys] -= own
        if dx.dtype != wide:
            dx[part] = out

    each_block(block, rows, classes)
    return dx
