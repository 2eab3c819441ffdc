"""Loss scaling, so that small gradients survive float16.

float16 holds nothing below 6 · 10⁻⁸: the loss is multiplied by a large factor before backward and the gradients are divided
by it before the step. A factor that makes them overflow is halved and the step left out; after a while without overflow it
is doubled.

Source: P. Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl.backends import namespace
from minidl.tensor import Tensor, raw

__all__ = ["GradScaler"]


class GradScaler:
    """Scales the loss, and keeps the scale as large as it can be.

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)          # only where gradients are looked at, to clip them, say
        scaler.step(optimizer)
        scaler.update()

    Args:
        device: "cuda" or "cpu"; gradients may be on either.
        init_scale, growth_factor, backoff_factor: the scale at first, after success, after an overflow.
        growth_interval: steps without overflow after which the scale grows.
        enabled: False makes every method pass through.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and growth_factor <= 1.0:
            raise AssertionError(f"The growth factor must be > 1.0, got {growth_factor}")
        if enabled and not backoff_factor < 1.0:
            raise AssertionError(f"The backoff factor must be < 1.0, got {backoff_factor}")
        self.device, self._enabled = device, enabled
        self._scale, self._growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._unscaled: dict[int, bool] = {}  # by id of an optimizer: whether its gradients overflowed
        self._stepped: set[int] = set()

    def is_enabled(self) -> bool:
        return self._enabled

    def get_scale(self) -> float:
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def scale(self, outputs: Any) -> Any:
        """A Tensor, or several, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, once, and look for inf and nan.

        Raises:
            RuntimeError: a second time since the last update, or after ``step``.
            ValueError: a float16 gradient: parameters in 16 bits have nothing to unscale into.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._unscaled:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        overflowed = False
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            if parameter.grad is None:
                continue
            gradient = raw(parameter.grad)
            if gradient.dtype == "float16":
                raise ValueError(
                    "Attempting to unscale FP16 gradients: keep the parameters in float32, under autocast."
                )
            gradient *= gradient.dtype.type(1 / self._scale)
            overflowed |= not bool(namespace(gradient).isfinite(gradient).all())
        self._unscaled[id(optimizer)] = overflowed

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()``, with unscaled gradients; nothing if they overflowed.

        Raises:
            RuntimeError: a second time since the last update; a closure, which cannot be scaled.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._unscaled[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adjust the scale after a step: down on an overflow, up after ``growth_interval`` steps without."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale.item() if isinstance(new_scale, Tensor) else new_scale)
        elif not self._unscaled:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._unscaled.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale *= self._growth_factor
                self._growth_tracker = 0
        self._unscaled, self._stepped = {}, set()

    def state_dict(self) -> dict[str, Any]:
        """The scale, its settings, and the steps since it last changed; empty if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a ``state_dict()``. RuntimeError for an empty one, which a scaler that is not enabled makes."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale, self._growth_tracker = float(state_dict["scale"]), int(state_dict["_growth_tracker"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
