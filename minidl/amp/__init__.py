"""Automatic mixed precision: :class:`autocast` and :class:`GradScaler`, under PyTorch's names."""

from minidl.absent import finder as _finder
from minidl.amp.grad_scaler import GradScaler
from minidl.autograd.autocast import autocast

__all__ = ["GradScaler", "autocast"]

__getattr__ = _finder(__name__)
