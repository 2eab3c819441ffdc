"""Neural networks: modules, parameters, initialisation, and the functions behind them."""

from minidl.absent import finder as _finder
from minidl.nn import functional, init, utils
from minidl.nn.containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from minidl.nn.module import Module
from minidl.nn.modules import *
from minidl.nn.parameter import Buffer, Parameter

__getattr__ = _finder(__name__)
