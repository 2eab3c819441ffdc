"""Networks, from the multilayer perceptron on."""

from minidl.models.alexnet import AlexNet, alexnet_small
from minidl.models.convolutional import ConvNet, ConvNetBN, LeNet5
from minidl.models.inception import Inception, inception_small
from minidl.models.perceptron import MLP
from minidl.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152, resnet_small

__all__ = [
    "MLP",
    "AlexNet",
    "ConvNet",
    "ConvNetBN",
    "Inception",
    "LeNet5",
    "ResNet",
    "alexnet_small",
    "inception_small",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet_small",
]
