"""A schedule that watches a figure, such as the validation loss."""

from __future__ import annotations

import math
from typing import Any

from minidl.optim.lr_scheduler.base import LRScheduler, check_optimizer, group_lrs, set_in_group
from minidl.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """lr ← ``factor`` · lr when the figure given to ``step(metrics)`` has not improved for more than ``patience``
    epochs.

    Args:
        optimizer: whose learning rates to change.
        mode: ``"min"`` if lower figures are better, ``"max"`` if higher.
        factor, patience: see above; the factor is below 1.
        threshold: how much is an improvement: with ``threshold_mode`` ``"rel"`` a part of the best figure, with
            ``"abs"`` a
            difference.
        cooldown: epochs after a reduction in which nothing is counted.
        min_lr: the rate is not reduced below this (a number, or a list with one a group).
        eps: smaller reductions are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"Factor should be < 1.0, but got {factor}.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! Use 'min' or 'max'.")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! Use 'rel' or 'abs'.")
        self.optimizer = check_optimizer(optimizer)
        groups = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)) and len(min_lr) != groups:
            raise ValueError(f"expected {groups} min_lrs, got {len(min_lr)}")
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * groups
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._last_lr = group_lrs(optimizer)
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Count an epoch whose figure is ``metrics``."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = group_lrs(self.optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was so lately that nothing is counted."""
        return self.cooldown_counter > 0

    def _is_better(self, current: float) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return current < (self.best * (1.0 - self.threshold) if relative else self.best - self.threshold)
        return current > (self.best * (self.threshold + 1.0) if relative else self.best + self.threshold)

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}): add a value to the scheduler's "
                    "`min_lrs` for every new group."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, old, least in zip(groups, group_lrs(self.optimizer), self.min_lrs):
            new = max(old * self.factor, least)
            if old - new > self.eps:
                set_in_group(group, "lr", new)
