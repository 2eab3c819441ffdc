"""Look inside: what runs, where, how fast, and why. It reads the tape and the kernels through their hooks alone."""

from __future__ import annotations

from minidl.inspect.ledger import Ledger, ledger
from minidl.inspect.nodes import Nodes, Op, Value, read
from minidl.inspect.peak import measure
from minidl.inspect.race import race
from minidl.inspect.recording import Recording, Step, backward
from minidl.inspect.table import memory, summary
from minidl.inspect.trace import Line, trace

__all__ = [
    "Ledger",
    "Line",
    "Nodes",
    "Op",
    "Recording",
    "Step",
    "Value",
    "backward",
    "ledger",
    "measure",
    "memory",
    "race",
    "read",
    "summary",
    "trace",
]
