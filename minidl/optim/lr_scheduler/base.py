"""What all schedules share.

A schedule is one rule: the next learning rate from the present one (:meth:`LRScheduler.next_lr`), so that schedules can
be chained and the rate may be changed by hand on the way. Those that know it as a function of the epoch alone say that
too (:meth:`LRScheduler.lr_at`), for jumps.
"""

from __future__ import annotations

import warnings
from typing import Any

from minidl.optim.optimizer import Optimizer, scalar
from minidl.tensor import Tensor


class LRScheduler:
    """Base of all schedules; the optimiser's groups have their learning rate changed by every :meth:`step`.

    Args:
        optimizer: whose learning rates to change.
        last_epoch: the epoch to go on from; -1 begins anew.

    Attributes:
        last_epoch: how many steps have been made.
        base_lrs: the learning rate of each group at the beginning.

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: going on from an epoch with an optimiser that was never scheduled.
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", scalar(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming from "
                    f"last_epoch={last_epoch}: load the optimizer's state dict first, or begin anew with last_epoch=-1"
                )
        self.base_lrs = [scalar(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the learning rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    # --------------------------------------------------------------------------------------- what a subclass is made of

    def next_lr(self, lr: float, base_lr: float) -> float:
        """The learning rate of epoch ``last_epoch`` of a group whose rate was ``lr`` until now and ``base_lr``
        first."""
        raise NotImplementedError(f"{type(self).__name__} has no rule for the learning rate")

    def get_lr(self) -> list[float]:
        """The learning rates of epoch ``last_epoch``, one a group."""
        return [self.next_lr(lr, base) for lr, base in zip(group_lrs(self.optimizer), self.base_lrs)]

    # ``lr_at(base_lr)``: the learning rate of epoch ``last_epoch``, whatever it was before; not all schedules have it.
    lr_at: Any = None

    # ------------------------------------------------------------------------------------------------------------ using

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, or jump to ``epoch``."""
        if self._step_count == 1 and self.optimizer._steps == 0:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): the first learning rate of the schedule is "
                "skipped. Call optimizer.step() first.",
                stacklevel=2,
            )
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        jump = None if epoch is None else self.lr_at
        self._set_lrs(self.get_lr() if jump is None else [jump(base) for base in self.base_lrs])

    def _set_lrs(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs):
            set_in_group(group, "lr", lr)
        self._last_lr = group_lrs(self.optimizer)

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last step set, one a group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.__dict__.update(state_dict)


def check_optimizer(optimizer: Any) -> Optimizer:
    """``optimizer``; TypeError if it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def group_lrs(optimizer: Optimizer) -> list[float]:
    """The learning rate of each group."""
    return [scalar(group["lr"]) for group in optimizer.param_groups]


def set_in_group(group: dict[str, Any], name: str, value: Any) -> None:
    """Change a setting; one that is a Tensor is changed in place, for whoever shares it."""
    if isinstance(group[name], Tensor):
        group[name]._data[...] = value
        group[name]._counter[0] += 1
    else:
        group[name] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list:
    """A setting given once for all groups, or as a list with one for each."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(optimizer.param_groups)
    if len(value) != len(optimizer.param_groups):
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {len(optimizer.param_groups)}."
        )
    return list(value)


def functions_state(functions: list) -> list[dict[str, Any] | None]:
    """What can be saved of user-given functions: the attributes of callable objects; nothing of functions."""
    return [None if not hasattr(f, "__dict__") or hasattr(f, "__code__") else dict(f.__dict__) for f in functions]


def load_functions_state(functions: list, states: list) -> None:
    for function, state in zip(functions, states):
        if state is not None:
            function.__dict__.update(state)
