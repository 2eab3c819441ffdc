"""Averages of the weights that training goes through, and the learning rate that suits them.

model = make_model()
averaged, scheduler = AveragedModel(model), SWALR(optimizer, swa_lr=0.05)
for epoch in range(epochs):
    train(...)                          # calls optimizer.step()
    averaged.update_parameters(model)
    scheduler.step()
update_bn(loader, averaged)             # where there is batch norm

Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from minidl import creation
from minidl.autograd.grad_mode import no_grad
from minidl.nn import Module
from minidl.nn.modules.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minidl.optim.lr_scheduler.base import LRScheduler, per_group
from minidl.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_swa_avg_fn() -> Callable:
    """The mean of all: ``(averaged, current, number averaged) → averaged + (current - averaged) / (number + 1)``."""

    def swa_update(averaged: Any, current: Any, num_averaged: Any) -> Any:
        return averaged + (current - averaged) / (num_averaged + 1)

    return no_grad()(swa_update)


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """The exponential moving average: ``(averaged, current, number) → decay · averaged + (1 - decay) · current``."""
    if not 0 <= decay <= 1:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    def ema_update(averaged: Any, current: Any, num_averaged: Any) -> Any:
        return decay * averaged + (1 - decay) * current

    return no_grad()(ema_update)


def get_swa_multi_avg_fn() -> Callable:
    """:func:`get_swa_avg_fn` of lists of tensors, of which the first is changed in place."""
    return _of_lists(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """:func:`get_ema_avg_fn` of lists of tensors, of which the first is changed in place."""
    return _of_lists(get_ema_avg_fn(decay))


def _of_lists(function: Callable) -> Callable:
    @no_grad()
    def update(averaged: list, current: list, num_averaged: Any) -> None:
        for mean, now in zip(averaged, current):
            mean.copy_(function(mean, now, num_averaged))

    return update


class AveragedModel(Module):
    """A copy of a model, ``module``, whose parameters are averages of those that the model had; called as the model is.

    Args:
        model: copied, as it is now.
        device: where the copy is to be.
        avg_fn: how a parameter enters its average, ``(averaged, current, number averaged) → averaged``; the plain mean if
            neither is given.
        multi_avg_fn: the same for lists of tensors, in place.
        use_buffers: average buffers too (running statistics); they are copied otherwise.

    Attributes:
        n_averaged: how many states of the model have entered, a buffer.

    Raises:
        AssertionError: both functions are given.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", creation.tensor(0, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Let the model's present parameters enter the averages; the first ones are copied."""
        pairs = [
            (mean, now.detach().to(mean.device))
            for mean, now in zip(self._averaged(self.module), self._averaged(model), strict=True)
        ]
        if not int(self.n_averaged):
            for mean, now in pairs:
                mean.copy_(now)
        elif self.multi_avg_fn is not None:
            for kind in {mean.dtype: None for mean, _ in pairs}:
                alike = [pair for pair in pairs if pair[0].dtype == kind]
                self.multi_avg_fn(*map(list, zip(*alike)), self.n_averaged)
        else:
            function = self.avg_fn or get_swa_avg_fn()
            for mean, now in pairs:
                mean.copy_(function(mean.detach(), now, self.n_averaged))
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers()):
                mine.copy_(theirs)
        self.n_averaged += 1

    def _averaged(self, model: Module) -> Iterable[Any]:
        return chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()


@no_grad()
def update_bn(loader: Iterable, model: Module, device: Any = None) -> None:
    """Make the running statistics of batch norm those of the loader's batches, which must be of the same size to be
    weighed alike; averaged weights have statistics of their own.

    Args:
        loader: batches, or lists and tuples whose first entry is given to the model.
        model: is put into training mode meanwhile.
        device: where batches are moved to.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not layers:
        return
    momenta, training = [layer.momentum for layer in layers], model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    model.train()
    for batch in loader:
        inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(inputs if device is None else inputs.to(device))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """From the present learning rate to ``swa_lr`` within ``anneal_epochs``, and there it stays.

    Computed from the rate before, so that it goes on from wherever another schedule has put the rate.

    Args:
        swa_lr: a number, or a list with one for each group; kept in the groups as ``"swa_lr"``.
        anneal_epochs: 0 for at once.
        anneal_strategy: "cos" or "linear".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates of the next epoch, one a group."""
        step = max(self._step_count - 1, 0 if self.anneal_epochs else 1)
        before, now = self._way(step - 1), self._way(step)
        return [
            group["swa_lr"] * now + _begun_from(float(group["lr"]), group["swa_lr"], before) * (1 - now)
            for group in self.optimizer.param_groups
        ]

    def _way(self, step: int) -> float:
        """How much of the way has been made after so many steps, from 0 to 1."""
        t = min(max(step / max(1, self.anneal_epochs), 0.0), 1.0)
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t


def _begun_from(lr: float, target: float, way: float) -> float:
    """The rate from which ``way`` of the way to ``target`` leads to ``lr``."""
    return target if way == 1 else (lr - target * way) / (1 - way)
