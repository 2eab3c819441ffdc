"""Measurements: how fast minidl is, beside PyTorch."""
