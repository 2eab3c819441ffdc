"""Fine-tuning a few numbers in place of all: low-rank adapters beside frozen linear layers, and ranks that are earned.

LoRA: Hu et al. 2022, "LoRA: Low-rank adaptation of large language models". AdaLoRA: Zhang et al. 2023, "Adaptive budget
allocation for parameter-efficient fine-tuning".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minidl import creation, nn, ops, serialization
from minidl.autograd.grad_mode import no_grad
from minidl.nn import functional as F
from minidl.nn import init

TARGETS = ("query", "value")  # as in the paper, section 4.2


class Adapter(nn.Module):
    """A linear layer with frozen weights, and a correction ΔW of low rank beside it: y = x Wᵀ + b + s · x ΔWᵀ.

    Attributes
    ----------
    base       the layer
    rank       r
    scaling    s = α / r
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        if not 1 <= rank <= min(base.in_features, base.out_features):
            raise ValueError(
                f"rank must be from 1 to {min(base.in_features, base.out_features)} for {base}, but is {rank}"
            )
        self.base, self.rank, self.scaling, self.dropout = base, rank, alpha / rank, nn.Dropout(dropout)
        base.requires_grad_(False)

    def delta(self) -> Any:
        """ΔW (out, in)."""
        raise NotImplementedError

    def merged(self) -> nn.Linear:
        """The base layer, with W + s ΔW for its weight: it gives what both gave, at the cost of one. The weight is a new
        one, since another layer may share the old."""
        with no_grad():
            weight = self.base.weight + self.scaling * self.delta()
        self.base.weight = nn.Parameter(weight, requires_grad=self.base.weight.requires_grad)
        return self.base

    def extra_repr(self) -> str:
        return f"rank={self.rank}, scaling={self.scaling:g}"


class LoRALinear(Adapter):
    """ΔW = B A, with A (r, in) random and B (out, r) zero at first: training starts from the network as it was."""

    def __init__(self, base: nn.Linear, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0) -> None:
        super().__init__(base, rank, alpha, dropout)
        place: dict[str, Any] = {"dtype": base.weight.dtype, "device": base.weight.device}
        self.lora_A = nn.Parameter(creation.empty((rank, base.in_features), **place))
        self.lora_B = nn.Parameter(creation.zeros((base.out_features, rank), **place))
        init.kaiming_uniform_(self.lora_A, a=5**0.5)

    def forward(self, x: Any) -> Any:
        return self.base(x) + F.linear(F.linear(self.dropout(x), self.lora_A), self.lora_B) * self.scaling

    def delta(self) -> Any:
        return self.lora_B @ self.lora_A


class AdaLoRALinear(Adapter):
    """ΔW = P diag(λ) Q, like a singular value decomposition: a rank is given up by making its λ zero.

    P (out, r) and Q (r, in) are random at first, λ (r) zero; :func:`orthogonality` keeps P and Q near orthogonal.
    """

    def __init__(self, base: nn.Linear, rank: int = 12, alpha: float = 16.0, dropout: float = 0.0) -> None:
        super().__init__(base, rank, alpha, dropout)
        place: dict[str, Any] = {"dtype": base.weight.dtype, "device": base.weight.device}
        self.lora_P = nn.Parameter(creation.empty((base.out_features, rank), **place))
        self.lora_E = nn.Parameter(creation.zeros((rank,), **place))
        self.lora_Q = nn.Parameter(creation.empty((rank, base.in_features), **place))
        for matrix in (self.lora_P, self.lora_Q):
            init.orthogonal_(matrix)

    def forward(self, x: Any) -> Any:
        return self.base(x) + F.linear(F.linear(self.dropout(x), self.lora_Q) * self.lora_E, self.lora_P) * self.scaling

    def delta(self) -> Any:
        return (self.lora_P * self.lora_E) @ self.lora_Q


def add_adapters(
    model: nn.Module,
    kind: type[Adapter] = LoRALinear,
    targets: Iterable[str] = TARGETS,
    train_also: Iterable[str] = ("classifier",),
    **settings: Any,
) -> nn.Module:
    """Freeze a model, and put an adapter beside each linear layer whose own name is among ``targets``.

    Args:
        model: changed in place, and returned.
        kind: :class:`LoRALinear` or :class:`AdaLoRALinear`.
        targets: last parts of names, such as "query".
        train_also: modules, by the first part of their names, that go on being trained as they are.
        settings: ``rank``, ``alpha``, ``dropout``.

    Raises:
        ValueError: no layer has such a name; or one belongs to a :class:`minidl.nn.MultiheadAttention`, which takes its
            weight and never calls it.
    """
    targets, kept = set(targets), tuple(train_also)
    places = [
        (parent, name) for parent, name, child in _places(model) if name in targets and isinstance(child, nn.Linear)
    ]
    if not places:
        raise ValueError(f"no linear layer of {type(model).__name__} is called {' or '.join(sorted(targets))}")
    for parent, name in places:
        if isinstance(parent, nn.MultiheadAttention):
            raise ValueError(
                f"{name} of a MultiheadAttention cannot have an adapter: attention takes its weight directly"
            )
    model.requires_grad_(False)
    made: dict[int, Adapter] = {}  # a layer that stands in several places has one adapter in all of them
    for parent, name in places:
        layer = getattr(parent, name)
        if id(layer) not in made:
            made[id(layer)] = kind(layer, **settings)
        setattr(parent, name, made[id(layer)])
    for name, child in model.named_children():
        if name in kept:
            child.requires_grad_()
    return model


def adapters(model: nn.Module) -> dict[str, Adapter]:
    """The adapters of a model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Adapter)}


def merge_adapters(model: nn.Module) -> nn.Module:
    """Put every adapter's correction into its layer's weight, and the layer into the adapter's places. In place; returns the
    model, or its merged layer, if the model is itself an adapter."""
    if isinstance(model, Adapter):
        return model.merged()
    merged: dict[int, nn.Linear] = {}
    for parent, name, child in list(_places(model)):
        if isinstance(child, Adapter):
            if id(child) not in merged:
                merged[id(child)] = child.merged()
            setattr(parent, name, merged[id(child)])
    return model


def _places(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, child) of every place in a model where a module stands, shared ones as often as they do."""
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None:
                yield parent, name, child


def save_adapters(model: nn.Module, path: str | os.PathLike) -> None:
    """Write what is trained, and nothing else: adapters, and the modules trained beside them."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    scalings = {name: f"{adapter.scaling:g}" for name, adapter in adapters(model).items()}
    serialization.save_file(trained, path, scalings)


def load_adapters(model: nn.Module, path: str | os.PathLike) -> None:
    """Read what :func:`save_adapters` wrote into a model with the same adapters. Nothing is changed if it does not fit.

    Raises:
        RuntimeError: names, shapes or scalings that differ; the message lists them.
    """
    scalings = serialization.load_metadata(path)
    saved, ours = serialization.load_file(path), {n: p for n, p in model.named_parameters() if p.requires_grad}
    wrong = [f"{name} is missing" for name in ours if name not in saved]
    wrong += [f"{name} is not trained in this model" for name in saved if name not in ours]
    wrong += [
        f"{name} is {list(saved[name].shape)}, here {list(p.shape)}"
        for name, p in ours.items()
        if name in saved and saved[name].shape != p.shape
    ]
    wrong += [
        f"{name} is scaled by {scalings[name]}, here by {adapter.scaling:g}"
        for name, adapter in adapters(model).items()
        if name in scalings and scalings[name] != f"{adapter.scaling:g}"
    ]
    if wrong:
        raise RuntimeError(f"{path} does not fit the adapters of this model: {'; '.join(wrong)}")
    with no_grad():
        for name, parameter in ours.items():
            parameter.copy_(saved[name])


def orthogonality(model: nn.Module) -> Any:
    """Σ ‖Pᵀ P - I‖² + ‖Q Qᵀ - I‖² over the AdaLoRA layers: to be added to the loss, times about 0.1 (eq. 4)."""
    total: Any = 0.0
    for adapter in adapters(model).values():
        if isinstance(adapter, AdaLoRALinear):
            one = creation.eye(adapter.rank, dtype=adapter.lora_P.dtype, device=adapter.lora_P.device)
            for product in (adapter.lora_P.t() @ adapter.lora_P, adapter.lora_Q @ adapter.lora_Q.t()):
                total = total + ops.square(product - one).sum()
    return total


class RankAllocator:
    """Gives the ranks of all AdaLoRA layers to the triplets (P's column, λ, Q's row) that matter most.

    A number's sensitivity is |w ∂L/∂w|; its running mean times the running mean of how much it varies is the importance
    s (eqs. 8 to 10), and a triplet's is s(λ) + mean s(P's column) + mean s(Q's row) (eq. 7). The budget of ranks falls along
    a cubic from all of them to ``target`` per layer (eq. 12), and λ of the triplets beyond it is made zero.

    Args:
        model: with AdaLoRA layers.
        target: mean rank of a layer at the end.
        total: steps of training.
        begin, end: the shares of it before the budget falls and after it has fallen.
        beta1, beta2: of the running means.
    """

    def __init__(
        self,
        model: nn.Module,
        target: int,
        total: int,
        begin: float = 0.1,
        end: float = 0.3,
        beta1: float = 0.85,
        beta2: float = 0.85,
    ) -> None:
        self.layers = [a for a in adapters(model).values() if isinstance(a, AdaLoRALinear)]
        if not self.layers:
            raise ValueError(f"{type(model).__name__} has no AdaLoRA layers: add_adapters(model, AdaLoRALinear)")
        if not 1 <= target <= self.layers[0].rank:
            raise ValueError(f"target must be from 1 to the layers' rank, {self.layers[0].rank}, but is {target}")
        self.most, self.least = sum(a.rank for a in self.layers), target * len(self.layers)
        self.first, self.last = int(begin * total), max(total - int(end * total), int(begin * total) + 1)
        self.beta1, self.beta2, self.step_number = beta1, beta2, 0
        self._means: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def budget(self, step: int) -> int:
        """How many triplets are alive after so many steps."""
        if step <= self.first:
            return self.most
        if step >= self.last:
            return self.least
        left = 1 - (step - self.first) / (self.last - self.first)
        return round(self.least + (self.most - self.least) * left**3)

    def ranks(self) -> list[int]:
        """How many triplets of each layer are alive: all of them until the budget falls, though every λ starts at 0."""
        if self.budget(self.step_number) >= self.most:
            return [a.rank for a in self.layers]
        return [int(ops.count_nonzero(a.lora_E).item()) for a in self.layers]

    def observe(self) -> None:
        """Take account of the gradients: before the optimiser's step."""
        for i, layer in enumerate(self.layers):
            for part in "PEQ":
                parameter = getattr(layer, f"lora_{part}")
                if parameter.grad is None:
                    continue
                now = np.abs((parameter.detach() * parameter.grad).cpu().numpy())
                mean, varies = self._means.get(f"{part}{i}", (np.zeros_like(now), np.zeros_like(now)))
                mean = self.beta1 * mean + (1 - self.beta1) * now
                varies = self.beta2 * varies + (1 - self.beta2) * np.abs(now - mean)
                self._means[f"{part}{i}"] = mean, varies

    def prune(self) -> None:
        """Make λ of the least important triplets zero: after the optimiser's step."""
        self.step_number += 1
        alive = self.budget(self.step_number)
        if alive >= self.most:
            return
        scores = np.concatenate([self._triplets(i) for i in range(len(self.layers))])
        kept = np.zeros(len(scores), bool)
        kept[np.argsort(-scores, kind="stable")[:alive]] = True
        begin = 0
        with no_grad():
            for layer in self.layers:
                mask = kept[begin : begin + layer.rank]
                layer.lora_E.mul_(
                    creation.tensor(mask.astype(np.float32), device=layer.lora_E.device).to(layer.lora_E.dtype)
                )
                begin += layer.rank

    def _triplets(self, i: int) -> np.ndarray:
        """The importance of the triplets of layer ``i``."""
        layer = self.layers[i]
        nothing = {"P": layer.lora_P, "E": layer.lora_E, "Q": layer.lora_Q}  # of a layer that has had no gradient yet
        of_p, of_e, of_q = (
            np.multiply(*self._means[f"{part}{i}"]) if f"{part}{i}" in self._means else np.zeros(tuple(p.shape))
            for part, p in nothing.items()
        )
        return of_e + of_p.mean(0) + of_q.mean(1)

    def state_dict(self) -> dict[str, Any]:
        """What decides how it goes on."""
        means = {name: tuple(map(creation.tensor, pair)) for name, pair in self._means.items()}
        return {"step": self.step_number, "means": means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        self.step_number = state["step"]
        self._means = {name: tuple(t.numpy().copy() for t in pair) for name, pair in state["means"].items()}
