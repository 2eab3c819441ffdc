"""The training loop, its checkpoints, and what it leaves to look at."""

from minidl.train.averaging import EMA
from minidl.train.callbacks import Callback, Metrics, Progress
from minidl.train.diagnosis import NotFiniteError
from minidl.train.evaluation import Evaluation, TokenEvaluation, evaluate, evaluate_tokens, token_loss
from minidl.train.interrupts import Interrupted
from minidl.train.language import CarryState
from minidl.train.limits import ClipGradients, EarlyStopping
from minidl.train.pictures import Pictures
from minidl.train.schedules import decay_groups, warmup_cosine
from minidl.train.tracking import TensorBoard, WeightsAndBiases
from minidl.train.trainer import Trainer

__all__ = [
    "EMA",
    "Callback",
    "CarryState",
    "ClipGradients",
    "EarlyStopping",
    "Evaluation",
    "Interrupted",
    "Metrics",
    "NotFiniteError",
    "Pictures",
    "Progress",
    "TensorBoard",
    "TokenEvaluation",
    "Trainer",
    "WeightsAndBiases",
    "decay_groups",
    "evaluate",
    "evaluate_tokens",
    "token_loss",
    "warmup_cosine",
]
