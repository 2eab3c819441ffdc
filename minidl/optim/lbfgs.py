"""L-BFGS: steps along an estimate of the Newton direction, made of the last changes of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.autograd.grad_mode import enable_grad
from minidl.backends import namespace
from minidl.optim.line_search import Point, strong_wolfe
from minidl.optim.optimizer import Optimizer, check, scalar
from minidl.tensor import Tensor, raw, wrap


class LBFGS(Optimizer):
    """Limited-memory BFGS: x ← x + t d with d = -H g, where H estimates the inverse of the Hessian.

    It is never written out: of the last steps s and changes of the gradient y, two loops make H g (Nocedal & Wright 2006,
    "Numerical Optimization", algorithm 7.4). For smooth problems and gradients of all the data.

        def closure():
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)

    Args:
        params: Tensors, in one group.
        lr: t, but for the first step, which is at most lr long in the 1-norm of the gradient.
        max_iter, max_eval: how many steps one :meth:`step` takes at most, and how many calls of the closure; if None, a
            quarter more.
        tolerance_grad: it ends where no gradient is larger.
        tolerance_change: and where neither parameters nor loss change by more.
        history_size: how many pairs (s, y) are kept.
        line_search_fn: "strong_wolfe" looks for the t that fulfils the Wolfe conditions; None takes lr.

    Raises:
        ValueError: several groups.
        RuntimeError: another line search; a step without a closure.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check("learning rate", lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to ``max_iter`` steps; ``closure`` computes the loss and its gradients again. Returns the first loss."""
        if closure is None:
            raise RuntimeError(
                "LBFGS.step needs a closure that computes the loss and its gradients, and returns the loss"
            )
        group = self.param_groups[0]
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported as line_search_fn, not {search!r}")
        parameters = group["params"]
        state = self.state[parameters[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        calls = 0

        def evaluate() -> tuple[Any, float, Any]:
            nonlocal calls
            calls += 1
            with enable_grad():
                value = closure()
            return value, float(raw(value)), _flat_gradient(parameters)

        first, loss, g = evaluate()
        flat = g.size == 0 or abs(g).max() <= group["tolerance_grad"]
        for iteration in range(0 if flat else group["max_iter"]):
            d = _direction(g, state, group["history_size"])
            t = scalar(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1 / float(abs(g).sum()))
            state.update(d=wrap(d), t=t, prev_flat_grad=wrap(g), prev_loss=loss)
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            start = [p._data.copy() for p in parameters]
            if search:

                def look(t: float, start: Any = start, d: Any = d) -> Point:
                    _move(parameters, start, t * d)
                    _, value, gradient = evaluate()
                    return Point(t, value, gradient, float(gradient @ d))

                found = strong_wolfe(
                    look, t, Point(0.0, loss, g, slope), float(abs(d).max()), group["max_eval"] - calls
                )
                state["t"], loss, g = found.t, found.loss, found.gradient
            _move(parameters, start, state["t"] * d)
            if not search and iteration + 1 < group["max_iter"]:  # after the last, nobody would look at it
                _, loss, g = evaluate()
            if (
                calls >= group["max_eval"]
                or abs(g).max() <= group["tolerance_grad"]
                or abs(state["t"] * d).max() <= group["tolerance_change"]
                or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):
                break
        state["func_evals"] += calls
        return first


def _direction(g: Any, state: dict[str, Any], limit: int) -> Any:
    """-H g, after the last step and its change of the gradient have been added to the state."""
    state["n_iter"] += 1
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
        return -g
    changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
    y, s = g - raw(state["prev_flat_grad"]), raw(state["d"]) * scalar(state["t"])
    curvature = float(y @ s)
    if curvature > 1e-10:
        if len(changes) == limit:
            del changes[0], steps[0], inverses[0]
        changes.append(wrap(y))
        steps.append(wrap(s))
        inverses.append(1 / curvature)
        state["H_diag"] = curvature / float(y @ y)
    pairs = [(raw(s), raw(y), scalar(ro)) for s, y, ro in zip(steps, changes, inverses)]
    q, along = -g, []
    for s, y, ro in reversed(pairs):
        along.append(ro * float(s @ q))
        q = q - along[-1] * y
    r = q * scalar(state["H_diag"])
    for (s, y, ro), a in zip(pairs, reversed(along)):
        r = r + s * (a - ro * float(y @ r))
    return r


def _flat_gradient(parameters: list[Tensor]) -> Any:
    """All gradients as one vector; 0 where there is none."""
    xp = namespace(parameters[0]._data)
    return xp.concatenate(
        [(xp.zeros_like(p._data) if p.grad is None else p.grad._data).reshape(-1) for p in parameters]
    )


def _move(parameters: list[Tensor], start: list[Any], step: Any) -> None:
    """Set the parameters to ``start``, moved by ``step``, a vector as long as all of them."""
    at = 0
    for parameter, x in zip(parameters, start):
        parameter._data[...] = x + step[at : at + x.size].reshape(x.shape)
        parameter._counter[0] += 1
        at += x.size
