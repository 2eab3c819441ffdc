"""How gradients flow through a network while it learns: norms, how far each update goes, dead and saturated units.

with inspect.gradient_flow(model, optimizer) as flow:
    for x, y in batches:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
flow.plot()
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.inspect import arguments
from minidl.inspect.calls import Call, Followed
from minidl.inspect.numbers import axes, on_host
from minidl.nn.module import Module
from minidl.optim.optimizer import Optimizer

_ENDS = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0)}


class gradient_flow:
    """Records a network over training steps.

    Give it the optimiser, and each of its steps is recorded by itself, with a closure when that has first run; or call
    :meth:`record` between ``backward()`` and ``step()``. It watches until ``close()``, or the end of its ``with`` block.

    Args:
        model: whose parameters and activations are watched.
        optimizer: whose steps are recorded; None to call :meth:`record`.
        end: how near to an end of its range an output of tanh or sigmoid counts as saturated, as a share of the range.

    Raises:
        TypeError: no module; no optimiser.
        ValueError: an optimiser that steps none of the model's parameters; ``end`` out of range.

    Attributes (arrays with one number a step, by name)
    ----------
    gradient_norms    of each parameter, ‖∂w‖ (NaN where there was no gradient)
    weight_norms      ‖w‖ before the step
    update_ratios     ‖Δw‖ / ‖w‖, about 1e-3 when learning goes well; without an optimiser, a step's is known at the next
    dead              of each module with a ReLU in it, the share of units whose output was 0 in every forward since the step
                      before: columns of (N, F), the last dimension of (N, T, F), channels of (N, C, H, W)
    saturated         of each module with a tanh or sigmoid, the share of outputs near an end
    """

    def __init__(self, model: Module, optimizer: Optimizer | None = None, end: float = 0.05) -> None:
        arguments.module(model, "gradient_flow")
        if optimizer is not None:
            _check(optimizer, model)
        if not 0 < end < 0.5:
            raise ValueError(f"gradient_flow: end must lie between 0 and 0.5, got {end}")
        self.model, self.end, self.steps = model, end, 0
        self._series: dict[str, dict[str, list[float]]] = {
            name: {} for name in ("gradient_norms", "weight_norms", "update_ratios", "dead", "saturated")
        }
        self._before: dict[str, np.ndarray] = {}
        self._silent: dict[str, np.ndarray] = {}  # which units have given nothing but 0
        self._near: dict[str, list[int]] = {}  # outputs near an end, and all
        self._followed = Followed(model, keep=False, rule=self._rule)
        self._followed.__enter__()
        self._recorded = False  # this step, by hand or because its closure has run
        self._handles = []
        if optimizer is not None:
            self._handles = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(lambda *_: self._updates()),
            ]

    def __getattr__(self, name: str) -> Any:
        series = self.__dict__.get("_series", {})
        if name in series:
            return {key: np.array(values) for key, values in series[name].items()}
        raise AttributeError(f"'gradient_flow' object has no attribute {name!r}")

    def __enter__(self) -> gradient_flow:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching; what was recorded stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._followed is not None:
            self._followed.__exit__()
            self._followed = None

    # ---------------------------------------------------------------------------------------------------- recording

    def record(self) -> None:
        """Note a step: after ``backward()``, before the update. RuntimeError if no parameter has a gradient."""
        if not self._has_gradients():
            raise RuntimeError("gradient_flow: no parameter has a gradient yet; record after loss.backward()")
        parameters = dict(self.model.named_parameters())
        self._updates()
        for name, parameter in parameters.items():
            weight = on_host(parameter._data)
            gradient = None if parameter.grad is None else on_host(parameter.grad._data)
            self._note("gradient_norms", name, np.nan if gradient is None else _norm(gradient))
            self._note("weight_norms", name, _norm(weight))
            self._before[name] = weight.copy()
        for path, silent in self._silent.items():
            self._note("dead", path, float(silent.mean()) if silent.size else 0.0)
        for path, (near, count) in self._near.items():
            self._note("saturated", path, near / max(count, 1))
        self._silent.clear()
        self._near.clear()
        self.steps += 1
        self._recorded = True

    def _has_gradients(self) -> bool:
        return any(p.grad is not None for p in self.model.parameters())

    def _before_step(self, optimizer: Optimizer, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Record the step, unless that was done by hand; one with a closure, which computes the gradients, when the closure
        has run for the first time."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._record_once()
            return None
        self._recorded = False

        def recorded() -> Any:
            loss = closure()
            self._record_once()
            return loss

        return (optimizer, recorded), {}

    def _record_once(self) -> None:
        if not self._recorded and self._has_gradients():
            self.record()

    def _updates(self) -> None:
        """How far the weights have moved since they were last looked at."""
        self._recorded = False
        for name, parameter in self.model.named_parameters():
            before = self._before.pop(name, None)
            if before is not None:
                moved = _norm(on_host(parameter._data).astype(np.float64) - before)
                size = _norm(before)
                self._note("update_ratios", name, moved / size if size else (np.inf if moved else 0.0), self.steps - 1)

    def _note(self, series: str, name: str, value: float, step: int | None = None) -> None:
        """Add a number; steps at which there was none are NaN."""
        step = self.steps if step is None else step
        values = self._series[series].setdefault(name, [])
        values += [np.nan] * (step - len(values))
        values.append(value)

    def _rule(self, where: Call, operator: Any, arrays: tuple, result: Any) -> None:
        if operator.name not in ("Relu", *_ENDS) or not result.size:  # an empty batch says nothing of any unit
            return
        if operator.name == "Relu":
            silent = _silent_units(on_host(result))
            known = self._silent.get(where.path)
            self._silent[where.path] = silent if known is None or known.shape != silent.shape else known & silent
        else:
            low, high = _ENDS[operator.name]
            values, margin = on_host(result), self.end * (high - low)
            counted = self._near.setdefault(where.path, [0, 0])
            counted[0] += int(((values < low + margin) | (values > high - margin)).sum())
            counted[1] += values.size

    # ----------------------------------------------------------------------------------------------------- pictures

    def __repr__(self) -> str:
        lines = [f"{self.steps} steps"]
        for name, norms in self._series["gradient_norms"].items():
            ratios = self._series["update_ratios"].get(name, [])
            ratio = f", update/weight {ratios[-1]:.2e}" if ratios else ""
            lines.append(f"{name}: gradient {norms[-1]:.3g}{ratio}")
        lines += [f"{path or '(model)'}: {v[-1]:.0%} of the units dead" for path, v in self._series["dead"].items()]
        lines += [f"{path or '(model)'}: {v[-1]:.0%} saturated" for path, v in self._series["saturated"].items()]
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw all series over the steps; returns the Figure. With ``ax``, the gradients' norms on it; returns the Axes."""
        if ax is not None:
            _lines(ax, self.gradient_norms, "norm of the gradient", log=True)
            ax.set_xlabel("step")
            return ax
        titles = {
            "gradient_norms": "norm of the gradient",
            "update_ratios": "update / weight (dotted: 1e-3)",
            "dead": "dead units, share",
            "saturated": "saturated outputs, share",
        }
        shown = [name for name in titles if name in ("gradient_norms", "update_ratios") or self._series[name]]
        panels = axes(None, nrows=len(shown), sharex=True, figsize=(8, 3 * len(shown)))
        for panel, name in zip(panels, shown):
            _lines(panel, getattr(self, name), titles[name], log=name in ("gradient_norms", "update_ratios"))
            if name == "update_ratios":
                panel.axhline(1e-3, color="grey", linestyle=":")
            if name in ("dead", "saturated"):
                panel.set_ylim(-0.02, 1.02)
        panels[-1].set_xlabel("step")
        return panels[0].figure


def _check(optimizer: Any, model: Module) -> None:
    arguments.optimizer(optimizer, "gradient_flow")
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in stepped for p in model.parameters()):
        raise ValueError(
            f"gradient_flow: this {type(optimizer).__name__} steps none of the parameters of this {type(model).__name__}; "
            "give it the model that is trained"
        )


def _lines(ax: Any, series: dict[str, np.ndarray], label: str, log: bool) -> None:
    for name, values in series.items():
        ax.plot(values, label=name or "(model)", marker="." if len(values) == 1 else None)
    if log and any((v > 0).any() for v in series.values()):
        ax.set_yscale("log")
    ax.set_ylabel(label)
    if series and len(series) <= 12:
        ax.legend(fontsize="small")


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64).ravel()))


def _silent_units(output: np.ndarray) -> np.ndarray:
    """For each unit of an output, whether it is 0 wherever it occurs in the batch."""
    if output.ndim < 2:
        return (output == 0).reshape(-1)
    unit = 1 if output.ndim == 2 or output.ndim > 3 else 2
    return (output == 0).all(tuple(axis for axis in range(output.ndim) if axis != unit))
