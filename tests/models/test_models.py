"""The example networks: shapes, sizes, PyTorch's results, and what they cannot take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl.models import MLP, ConvNet, ConvNetBN, LeNet5
from minidl.nn import functional as F

ALL = [ConvNet, ConvNetBN, LeNet5, MLP]


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("size", [28, 8, (10, 13), 32, 12, 4])
@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 4)])
def test_shapes_and_gradients(model, size, channels, classes):
    net = model(image_size=size, channels=channels, classes=classes)
    h, w = (size, size) if isinstance(size, int) else size
    scores = net(minidl.randn(3, channels, h, w))
    assert scores.shape == (3, classes)
    F.cross_entropy(scores, minidl.tensor([0, 1, 2])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.shape == parameter.shape


@pytest.mark.parametrize(
    ("model", "parameters"), [(ConvNet, 421_642), (ConvNetBN, 421_738), (LeNet5, 61_706), (MLP, 235_146)]
)
def test_sizes(model, parameters):
    assert sum(p.numel() for p in model().parameters()) == parameters


def test_convnet_is_pytorchs():
    ours = ConvNet()
    nn = torch.nn
    theirs = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    values = [torch.tensor(v.numpy()) for v in ours.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values)))
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(
        ours(minidl.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_dropout_and_batch_norm_work_in_training_alone():
    net = ConvNetBN(8)
    x = minidl.randn(4, 1, 8, 8)
    assert (net(x) != net(x)).any()
    net.eval()
    assert (net(x) == net(x)).all()


@pytest.mark.parametrize("model", [ConvNet, ConvNetBN, LeNet5])
@pytest.mark.parametrize("size", [3, 0, (28, 2), (1, 2, 3)])
def test_pictures_too_small(model, size):
    with pytest.raises(ValueError, match=f"{model.__name__} needs pictures of at least 4 x 4"):
        model(image_size=size)
