"""Networks, from the multilayer perceptron on."""

from minidl.models.alexnet import AlexNet, alexnet_small
from minidl.models.bert import BERT, BertClassifier, BertForMaskedLM, embed_texts
from minidl.models.convolutional import ConvNet, ConvNetBN, LeNet5
from minidl.models.generation import Beams, beam_search, generate, sample
from minidl.models.gpt import GPT
from minidl.models.inception import Inception, inception_small
from minidl.models.llama import Llama
from minidl.models.perceptron import MLP
from minidl.models.recurrent import CharRNN, TextClassifier, gradients_along_time
from minidl.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152, resnet_small
from minidl.models.translation import Transformer

__all__ = [
    "BERT",
    "GPT",
    "MLP",
    "AlexNet",
    "Beams",
    "BertClassifier",
    "BertForMaskedLM",
    "CharRNN",
    "ConvNet",
    "ConvNetBN",
    "Inception",
    "LeNet5",
    "Llama",
    "ResNet",
    "TextClassifier",
    "Transformer",
    "alexnet_small",
    "beam_search",
    "embed_texts",
    "generate",
    "gradients_along_time",
    "inception_small",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet_small",
    "sample",
]
