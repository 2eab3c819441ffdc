"""Networks, from the multilayer perceptron on."""

from minidl.models.convolutional import ConvNet, ConvNetBN, LeNet5
from minidl.models.perceptron import MLP

__all__ = ["MLP", "ConvNet", "ConvNetBN", "LeNet5"]
