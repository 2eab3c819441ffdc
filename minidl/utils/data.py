""":mod:`minidl.data`, under PyTorch's name."""

from minidl.data import *
