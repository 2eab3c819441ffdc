"""Neural networks: modules, parameters, initialisation, and the functions behind them."""

from minidl.nn import functional
