"""What a learner has solved and which hints they have seen, kept beside their work as ``progress.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from minidl.utils.files import atomic_write


@dataclass
class Attempted:
    """One exercise: whether the last answer was right, how many answers were checked, how many hints were shown."""

    solved: bool = False
    attempts: int = 0
    hints: int = 0


class Progress:
    """The progress kept in a folder; ``at(chapter, exercise)`` is there to be changed, ``save()`` keeps it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "progress.json"
        self._kept: dict[str, dict[str, Attempted]] = {}
        if self.path.is_file():
            try:
                found = json.loads(self.path.read_text(encoding="utf-8"))
                self._kept = {c: {n: Attempted(**e) for n, e in es.items()} for c, es in found.items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{self.path} is damaged ({error}): mend it, or delete it to begin anew") from error

    def at(self, chapter: str, exercise: str) -> Attempted:
        """The state of one exercise."""
        return self._kept.setdefault(chapter, {}).setdefault(exercise, Attempted())

    def solved(self, chapter: str, exercise: str) -> bool:
        """Whether the last answer was right."""
        found = self._kept.get(chapter, {}).get(exercise)
        return found is not None and found.solved

    def save(self) -> None:
        """Write the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = {c: {n: asdict(e) for n, e in es.items()} for c, es in self._kept.items()}
        with atomic_write(self.path, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1, sort_keys=True)
