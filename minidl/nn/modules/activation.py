"""Activations."""

from __future__ import annotations

from typing import Any

import minidl.nn.functional as F
from minidl import ops
from minidl.nn.modules.settings import Settings
from minidl.nn.parameter import Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _InPlace(Settings):
    """An activation whose only setting is whether to write over its input."""

    shown = ("inplace!",)

    def __init__(self, inplace: bool = False) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input, inplace=self.inplace)


class ReLU(_InPlace):
    """max(x, 0)."""

    function = "relu"


class ReLU6(_InPlace):
    """min(max(x, 0), 6)."""

    shown = ("inplace!",)
    function = "relu6"


class SELU(_InPlace):
    """See ``functional.selu``."""

    function = "selu"


class SiLU(_InPlace):
    """x · sigmoid(x)."""

    function = "silu"


class Mish(_InPlace):
    """x · tanh(softplus(x))."""

    function = "mish"


class Hardswish(_InPlace):
    """x · relu6(x + 3) / 6."""

    shown = ()
    function = "hardswish"


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6."""

    shown = ()
    function = "hardsigmoid"


class _Plain(Settings):
    """An activation without settings."""

    def __init__(self) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input)


class Sigmoid(_Plain):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, input: Any) -> Any:
        return ops.sigmoid(input)


class Tanh(_Plain):
    """tanh x."""

    def forward(self, input: Any) -> Any:
        return ops.tanh(input)


class Softsign(_Plain):
    """x / (1 + |x|)."""

    function = "softsign"


class LogSigmoid(_Plain):
    """ln sigmoid(x)."""

    function = "logsigmoid"


class Tanhshrink(_Plain):
    """x - tanh x."""

    function = "tanhshrink"


class LeakyReLU(Settings):
    """x where positive, else negative_slope · x."""

    shown = ("negative_slope", "inplace!")

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class ELU(Settings):
    """x where positive, else α (eˣ - 1)."""

    shown = ("alpha", "inplace!")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.elu(input, self.alpha, self.inplace)


class CELU(ELU):
    """max(x, 0) + min(0, α (e^{x/α} - 1))."""

    def forward(self, input: Any) -> Any:
        return F.celu(input, self.alpha, self.inplace)


class GELU(Settings):
    """x Φ(x), with Φ exact or by a tanh."""

    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.gelu(input, approximate=self.approximate)


class GLU(Settings):
    """a · sigmoid(b), the halves of the input along ``dim``."""

    shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.glu(input, self.dim)


class Hardtanh(Settings):
    """x clamped to [min_val, max_val]."""

    shown = ("min_val", "max_val", "inplace!")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self._keep(locals())
        if max_val <= min_val:
            raise AssertionError(f"max_val must be larger than min_val, got {max_val} and {min_val}")

    def forward(self, input: Any) -> Any:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class Softplus(Settings):
    """ln(1 + e^{βx}) / β; x itself where βx > threshold."""

    shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.softplus(input, self.beta, self.threshold)


class Hardshrink(Settings):
    """x where |x| > λ, else 0."""

    shown = ("=lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.hardshrink(input, self.lambd)


class Softshrink(Hardshrink):
    """x ∓ λ where |x| > λ, else 0."""

    def forward(self, input: Any) -> Any:
        return F.softshrink(input, self.lambd)


class Threshold(Settings):
    """x where above ``threshold``, else ``value``."""

    shown = ("threshold", "value", "inplace!")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.threshold(input, self.threshold, self.value, self.inplace)


class PReLU(Settings):
    """x where positive, else weight · x; one learned weight, or one a channel."""

    shown = ("num_parameters",)

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), init, device, dtype))

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)


class RReLU(Settings):
    """Leaky ReLU with a random slope from [lower, upper] in training, the middle in evaluation."""

    shown = ("lower", "upper", "inplace!")

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Softmax(Settings):
    """e^{xᵢ} / Σⱼ e^{xⱼ} along ``dim``."""

    shown = ("dim",)
    function = "softmax"

    def __init__(self, dim: int | None = None) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input, self.dim)


class LogSoftmax(Softmax):
    """ln softmax along ``dim``."""

    function = "log_softmax"


class Softmin(Softmax):
    """softmax(-x) along ``dim``."""

    function = "softmin"


class Softmax2d(_Plain):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Any) -> Any:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


def full(shape: tuple, value: float, device: Any, dtype: Any) -> Any:
    from minidl import creation

    return creation.full(shape, value, device=device, dtype=dtype)
