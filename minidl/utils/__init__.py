"""Helpers around the engine."""

from minidl.absent import finder as _finder

__getattr__ = _finder(__name__)
