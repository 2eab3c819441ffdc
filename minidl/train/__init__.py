"""The training loop, its checkpoints, and what it leaves to look at."""

from minidl.train.callbacks import Callback, Metrics, Progress
from minidl.train.diagnosis import NotFiniteError
from minidl.train.evaluation import Evaluation, evaluate
from minidl.train.interrupts import Interrupted
from minidl.train.pictures import Pictures
from minidl.train.trainer import Trainer

__all__ = [
    "Callback",
    "Evaluation",
    "Interrupted",
    "Metrics",
    "NotFiniteError",
    "Pictures",
    "Progress",
    "Trainer",
    "evaluate",
]
