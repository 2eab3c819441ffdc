"""Look inside: what runs, where, how fast, and why. It reads the tape and the kernels through their hooks alone."""

from __future__ import annotations

from minidl.callers import Line
from minidl.inspect.curvature import HessianSpectrum, hessian_spectrum, hessian_vector_product
from minidl.inspect.export import export
from minidl.inspect.flow import gradient_flow
from minidl.inspect.gates import Gates, gates
from minidl.inspect.graph import Graph, graph
from minidl.inspect.landscape import LossSurface, loss_surface
from minidl.inspect.ledger import Ledger, ledger
from minidl.inspect.maps import AttentionMaps, attention_maps
from minidl.inspect.nan import NanReport, why_nan
from minidl.inspect.nodes import Nodes, Op, Value, read
from minidl.inspect.outputs import Activations, Filters, Saliency, activations, filters, saliency
from minidl.inspect.peak import measure
from minidl.inspect.provenance import Provenance, provenance
from minidl.inspect.quiz import Quiz, quiz
from minidl.inspect.race import race
from minidl.inspect.recording import Recording, Step, backward
from minidl.inspect.table import memory, summary
from minidl.inspect.trace import trace
from minidl.inspect.why import ShapeReport, why_shape

__all__ = [
    "Activations",
    "AttentionMaps",
    "Filters",
    "Gates",
    "Graph",
    "HessianSpectrum",
    "Ledger",
    "Line",
    "LossSurface",
    "NanReport",
    "Nodes",
    "Op",
    "Provenance",
    "Quiz",
    "Recording",
    "Saliency",
    "ShapeReport",
    "Step",
    "Value",
    "activations",
    "attention_maps",
    "backward",
    "export",
    "filters",
    "gates",
    "gradient_flow",
    "graph",
    "hessian_spectrum",
    "hessian_vector_product",
    "ledger",
    "loss_surface",
    "measure",
    "memory",
    "provenance",
    "quiz",
    "race",
    "read",
    "saliency",
    "summary",
    "trace",
    "why_nan",
    "why_shape",
]
