"""Networks, from the multilayer perceptron on."""

from minidl.models.convolutional import ConvNet, ConvNetBN, LeNet5
from minidl.models.perceptron import MLP
from minidl.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152, resnet_small

__all__ = [
    "MLP",
    "ConvNet",
    "ConvNetBN",
    "LeNet5",
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet_small",
]
