"""Schedules that rise and fall, and move the momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minidl.optim.lr_scheduler.base import (
    LRScheduler,
    check_optimizer,
    functions_state,
    load_functions_state,
    per_group,
    set_in_group,
)
from minidl.optim.optimizer import Optimizer


class _WithMomentum(LRScheduler):
    """A schedule that sets the momentum (of Adam and its like: β₁) as well."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(self, base: Any, most: Any, begin: bool) -> None:
        """Note both ends of the momentum in the groups, and ``begin`` at the upper one."""
        if "momentum" not in self.optimizer.defaults and "betas" not in self.optimizer.defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.use_beta1 = "betas" in self.optimizer.defaults
        if begin:
            for low, high, group in zip(base, most, self.optimizer.param_groups):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    """lr rises from ``base_lr`` to ``max_lr`` in ``step_size_up`` steps, falls back in ``step_size_down``, and again,
    while the momentum goes from ``max_momentum`` to ``base_momentum`` and back. Step it after every batch.

    Smith 2017, "Cyclical Learning Rates for Training Neural Networks".

    Args:
        optimizer, base_lr, max_lr, step_size_up, step_size_down: see above; the last is as the one before by default.
        mode: the height of the cycles: ``"triangular"`` constant, ``"triangular2"`` halved every cycle, ``"exp_range"``
            γ^step.
        gamma: γ of ``"exp_range"``.
        scale_fn, scale_mode: a height of the user's, a function of the number of the ``"cycle"`` (from 1) or of
            ``"iterations"``; then ``mode`` is ignored.
        cycle_momentum, base_momentum, max_momentum: whether to move the momentum, and between what.
        last_epoch: the step to go on from.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups):
                set_in_group(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(
                "mode is invalid and scale_fn is None: mode must be one of triangular, triangular2, exp_range, got "
                f"{mode!r}"
            )
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            self._start_momentum(self.base_momentums, self.max_momentums, begin=last_epoch == -1)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of cycle (or iteration) ``x``."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        part = 1.0 + self.last_epoch / self.total_size - cycle
        up = part <= self.step_ratio
        height = part / self.step_ratio if up else (part - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                self._set_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser and the function; of a callable object the attributes."""
        (function,) = functions_state([self._scale_fn_custom]) if self._scale_fn_custom is not None else (None,)
        return {**super().state_dict(), "_scale_fn_custom": function}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        load_functions_state([self._scale_fn_custom], [state_dict.get("_scale_fn_custom")])
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})


class OneCycleLR(_WithMomentum):
    """One cycle for the whole training: lr rises from max_lr / ``div_factor`` to ``max_lr`` in the first ``pct_start``
    of the steps, then falls to far below where it began, while the momentum goes the other way. Step it after every
    batch.

    Smith & Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates".

    Args:
        optimizer, max_lr: the optimiser, and the peak.
        total_steps: how many steps there will be; or ``epochs`` and ``steps_per_epoch``.
        pct_start: the part of the steps that rise, a float in [0, 1].
        anneal_strategy: between the ends along a ``"cos"`` or ``"linear"``.
        cycle_momentum, base_momentum, max_momentum: whether to move the momentum, and between what.
        div_factor: the first rate is ``max_lr`` / ``div_factor``.
        final_div_factor: the last rate is the first / ``final_div_factor``.
        three_phase: fall back to the first rate as slowly as it rose, and only then to the last.
        last_epoch: the step to go on from.

    ValueError for settings out of range, and when stepped more than ``total_steps`` times.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        peaks = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for peak, group in zip(peaks, optimizer.param_groups):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            base = per_group("base_momentum", optimizer, base_momentum)
            most = per_group("max_momentum", optimizer, max_momentum)
            self._start_momentum(base, most, begin=last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}: give a larger "
                "total_steps, or step once a batch and not more"
            )
        begin, phase = 0.0, self._schedule_phases[-1]
        for candidate in self._schedule_phases:
            if step <= candidate["end_step"] or candidate is self._schedule_phases[-1]:
                phase = candidate
                break
            begin = candidate["end_step"]
        part = (step - begin) / (phase["end_step"] - begin)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._between(*ends, part))
        groups = self.optimizer.param_groups
        return [self._between(group[phase["start_lr"]], group[phase["end_lr"]], part) for group in groups]

    def _between(self, start: float, end: float, part: float) -> float:
        """From ``start`` (at part 0) to ``end`` (at part 1)."""
        if self._anneal_func_type == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    given = (
        {"total_steps": total_steps}
        if total_steps is not None
        else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    )
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())  # type: ignore[arg-type]


def _phases(total_steps: int, pct_start: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and the names under which the groups keep its ends."""

    def phase(end_step: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> dict[str, Any]:
        return {
            "end_step": end_step,
            "start_lr": start_lr,
            "end_lr": end_lr,
            "start_momentum": start_momentum,
            "end_momentum": end_momentum,
        }

    rise = phase(float(pct_start * total_steps) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three:
        return [rise, phase(total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    fall = phase(float(2 * pct_start * total_steps) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
    return [rise, fall, phase(total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
