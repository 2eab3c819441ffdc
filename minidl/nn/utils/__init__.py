"""Helpers for training: gradients clipped, parameters as one vector, sequences of different lengths."""

from minidl.absent import finder as _finder
from minidl.nn.utils import parametrizations, parametrize, rnn
from minidl.nn.utils.clip import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from minidl.nn.utils.vector import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "rnn",
    "vector_to_parameters",
]

__getattr__ = _finder(__name__)
