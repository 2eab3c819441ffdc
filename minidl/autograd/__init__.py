"""Reverse-mode automatic differentiation: gradients of what was computed, with respect to what it was computed from."""

from __future__ import annotations

from minidl.absent import finder as _finder
from minidl.autograd import devices as _devices  # noqa: F401 (hangs its guard)
from minidl.autograd.anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from minidl.autograd.function import Function, once_differentiable
from minidl.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from minidl.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from minidl.autograd.tape import Operator, apply
from minidl.autograd.walk import backward, grad
from minidl.autograd.watching import on_backward, on_record, on_rule, watch

__all__ = [
    "Function",
    "GradcheckError",
    "Operator",
    "apply",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "on_backward",
    "on_record",
    "on_rule",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
    "watch",
]

__getattr__ = _finder(__name__)
