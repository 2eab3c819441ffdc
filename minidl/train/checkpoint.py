"""What a checkpoint holds, and whether one belongs to a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from minidl import random, serialization
from minidl.tensor import Tensor

_PARTS = ("kind", "model", "optimizer", "scheduler", "progress", "random", "history", "settings")


def state(trainer: Any) -> dict[str, Any]:
    """All that decides how the run goes on."""
    return {
        "kind": {"checkpoint": 1, "model": type(trainer.model).__name__, "optimizer": type(trainer.optimizer).__name__},
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "progress": {
            "epoch": trainer.epoch,
            "step": trainer.step,
            "loss_sum": trainer.loss_sum,
            "seen": trainer.seen,
            "updates": trainer.updates,
        },
        "scaler": trainer.scaler.state_dict(),
        "callbacks": _callback_states(trainer),
        "random": {"now": random_state(trainer), "epoch": trainer._epoch_began_with},
        "history": trainer.history,
        "settings": trainer.settings,
    }


def restore(trainer: Any, path: Path) -> None:
    """Put a trainer where it was when the checkpoint was written; RuntimeError, and no change, if it does not fit."""
    saved = serialization.load(path)
    if not isinstance(saved, dict) or any(part not in saved for part in _PARTS):
        raise RuntimeError(f"{path} is not a checkpoint of a Trainer")
    differences = _differences(trainer, saved)
    if differences:
        raise RuntimeError(
            f"{path} belongs to another run:\n"
            + "\n".join(f"  - {d}" for d in differences)
            + "\nResume it with the model and settings it was made with, or train under another name."
        )
    try:
        trainer.optimizer.load_state_dict(saved["optimizer"])
        trainer.model.load_state_dict(saved["model"])
        if trainer.scheduler is not None:
            trainer.scheduler.load_state_dict(saved["scheduler"])
        set_random_state(trainer, saved["random"]["now"])
        if trainer.scaler.is_enabled():
            trainer.scaler.load_state_dict(saved["scaler"])
        for name, callback in _named_callbacks(trainer):
            if name in saved.get("callbacks", {}):
                callback.load_state_dict(saved["callbacks"][name])
        progress = saved["progress"]
        trainer.epoch, trainer.step = progress["epoch"], progress["step"]
        trainer.loss_sum, trainer.seen = progress["loss_sum"], progress["seen"]
        trainer.updates = progress.get("updates", 0)
        trainer.history = saved["history"]
        trainer._epoch_began_with, trainer._resumed_with = saved["random"]["epoch"], saved["random"]["now"]
    except (LookupError, TypeError, ValueError) as error:
        raise RuntimeError(f"{path} is damaged: {error!r}") from error


def _callback_states(trainer: Any) -> dict[str, Any]:
    """What callbacks must remember, by their names; of those alone that have something."""
    states = {name: c.state_dict() for name, c in _named_callbacks(trainer) if hasattr(c, "state_dict")}
    return {name: state for name, state in states.items() if state}


def _named_callbacks(trainer: Any) -> list[tuple[str, Any]]:
    """Callbacks by the names of their classes; the second of a class is "EMA 2"."""
    seen: Counter[str] = Counter()
    named = []
    for callback in trainer.callbacks:
        name = type(callback).__name__
        seen[name] += 1
        named.append((name if seen[name] == 1 else f"{name} {seen[name]}", callback))
    return named


def random_state(trainer: Any) -> list[Tensor]:
    """Where the random numbers are: minidl's own, and those of generators that the loader or its samplers have."""
    return [random.get_rng_state(), *(own.get_state() for own in _generators(trainer.train_loader))]


def set_random_state(trainer: Any, states: list[Tensor]) -> None:
    random.set_rng_state(states[0])
    for own, state in zip(_generators(trainer.train_loader), states[1:]):
        own.set_state(state)


def _generators(loader: Any) -> list[Any]:
    """The generators of a loader, its sampler, its batch sampler and that one's sampler, each once."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    places = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    found = [getattr(place, "generator", None) for place in places]
    return list({id(own): own for own in found if own is not None}.values())


def _differences(trainer: Any, saved: dict[str, Any]) -> list[str]:
    """What keeps the checkpoint from belonging to this trainer, a sentence each."""
    kind, found = saved["kind"], []
    if kind["model"] != type(trainer.model).__name__:
        found.append(f"the model: it holds {kind['model']}, this is {type(trainer.model).__name__}")
    found += _tensor_differences(trainer.model.state_dict(), saved["model"])
    if kind["optimizer"] != type(trainer.optimizer).__name__:
        found.append(f"the optimizer: it holds {kind['optimizer']}, this is {type(trainer.optimizer).__name__}")
    if (saved["scheduler"] is None) != (trainer.scheduler is None):
        found.append(f"the schedule: it has {'none' if saved['scheduler'] is None else 'one'}, unlike this run")
    theirs, ours = set(saved.get("callbacks", {})), set(_callback_states(trainer))
    found += [f"{name}: {'not in this run' if name in theirs else 'missing from it'}" for name in sorted(theirs ^ ours)]
    if bool(saved.get("scaler")) != trainer.scaler.is_enabled():
        found.append(f"the precision: it was {'' if saved.get('scaler') else 'not '}made in float16")
    for name in {**saved["settings"], **trainer.settings}:
        theirs, ours = saved["settings"].get(name), trainer.settings.get(name)
        if theirs != ours:
            found.append(f"{name}: it was made with {theirs!r}, this run has {ours!r}")
    return found


def _tensor_differences(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    found = [f"{name}: missing from the checkpoint" for name in ours if name not in theirs]
    found += [f"{name}: not in this model" for name in theirs if name not in ours]
    for name, tensor in ours.items():
        other = theirs.get(name)
        if other is not None and (other.shape, other.dtype) != (tensor.shape, tensor.dtype):
            found.append(
                f"{name}: it holds shape {list(other.shape)} {other.dtype}, this model has {list(tensor.shape)} "
                f"{tensor.dtype}"
            )
    return found
