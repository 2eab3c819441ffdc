"""Cross-entropy as compiled loops: forward reads the logits once, backward reads them once and writes as many."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, exp, largest, over_rows, takes, vector
from minidl_kernels.cross_entropy import with_numpy as reference


@compiled
def _forward(x, target, weight, smoothing, loss, lse):
    n = x.shape[1]
    whole = np.float32(0)
    for j in range(n):
        whole += weight[j]
    for i in range(x.shape[0]):
        top = largest(x[i])
        total = np.float32(0)
        for j in range(n):
            total += exp(x[i, j] - top)
        rest = np.log(total)
        own = rest - (x[i, target[i]] - top)
        own *= weight[target[i]]
        if smoothing > 0:
            spread = np.float32(0)
            for j in range(n):
                spread += weight[j] * (x[i, j] - top)
            own = (np.float32(1) - smoothing) * own + smoothing * (rest * whole - spread) / np.float32(n)
        loss[i] = own
        lse[i] = rest + top


@compiled
def _backward(g, x, target, lse, weight, smoothing, dx):
    n = x.shape[1]
    whole = np.float32(0)
    for j in range(n):
        whole += weight[j]
    for i in range(x.shape[0]):
        own = g[i] * weight[target[i]] * (np.float32(1) - smoothing)
        share = g[i] * smoothing / np.float32(n)
        total = own + share * whole
        shift = lse[i]
        for j in range(n):
            dx[i, j] = total * exp(x[i, j] - shift) - share * weight[j]
        dx[i, target[i]] -= own


def forward(x: Any, target: Any, weight: Any = None, smoothing: float = 0.0) -> tuple[Any, Any]:
    """``loss, lse`` of each row, in the type that sums are kept in."""
    if not takes(x, weight) or not x.size:
        return reference.forward(x, target, weight, smoothing)
    x, target = np.ascontiguousarray(x), np.ascontiguousarray(target)
    weights, amount = vector(weight, 1, x.shape[1]), np.float32(smoothing)
    loss, lse = np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    over_rows(lambda p: _forward(x[p], target[p], weights, amount, loss[p], lse[p]), len(x), x.size)
    return loss, lse


def backward(g: Any, x: Any, target: Any, lse: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """∂x in the type of ``x``; ``g`` (rows,) is the gradient of each row's loss."""
    if not takes(g, x, weight) or not x.size:
        return reference.backward(g, x, target, lse, weight, smoothing)
    g, x, target = np.ascontiguousarray(g), np.ascontiguousarray(x), np.ascontiguousarray(target)
    weights, amount, dx = vector(weight, 1, x.shape[1]), np.float32(smoothing), np.empty_like(x)
    over_rows(lambda p: _backward(g[p], x[p], target[p], lse[p], weights, amount, dx[p]), len(x), x.size)
    return dx
