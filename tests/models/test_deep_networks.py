"""AlexNet, Inception and ResNet: as many parameters as published, and the outputs that PyTorch gives from the same weights."""

import numpy as np
import pytest
import torch

import minidl
from minidl import models
from minidl.models.alexnet import AlexNet, alexnet_small
from minidl.models.inception import Inception, InceptionBlock, inception_small


def parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("build", "published"),
    [
        (AlexNet, 61_100_840),
        (lambda: Inception(aux_logits=True), 13_004_888),
        (lambda: Inception(aux_logits=False), 6_624_904),
        (models.resnet18, 11_689_512),
        (models.resnet34, 21_797_672),
        (models.resnet50, 25_557_032),
        (models.resnet101, 44_549_160),
        (models.resnet152, 60_192_808),
    ],
    ids=["alexnet", "inception-aux", "inception", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"],
)
def test_as_many_parameters_as_published(build, published):
    assert parameters(build()) == published


@pytest.mark.parametrize("build", [alexnet_small, inception_small, models.resnet_small])
def test_small_forms_take_digits_and_every_parameter_gets_a_gradient(build):
    model = build()
    logits = model(minidl.randn(3, 1, 28, 28))
    assert logits.shape == (3, 10)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


class TorchBlock(torch.nn.Module):
    """He et al. 2016, figure 2 and section 3.3, with the names of its parameters that are usual."""

    def __init__(self, channels, width, stride):
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class TorchResNet18(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        for i, (channels, width, stride) in enumerate(widths, 1):
            setattr(self, f"layer{i}", nn.Sequential(TorchBlock(channels, width, stride), TorchBlock(width, width, 1)))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_resnet18_is_pytorchs_from_the_same_state(training):
    theirs, ours = TorchResNet18().double().train(training), models.resnet18().double().train(training)
    ours.load_state_dict({name: minidl.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64))
    expected, got = theirs(torch.tensor(x)), ours(minidl.tensor(x))
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-6)
    expected.square().mean().backward()
    got.square().mean().backward()
    for (name, p), (same, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == same
        scale = float(q.grad.abs().max()) or 1.0
        np.testing.assert_allclose(p.grad.numpy() / scale, q.grad.numpy() / scale, atol=1e-5, err_msg=name)


def test_an_inception_block_is_pytorchs_branches_side_by_side():
    ours = InceptionBlock(8, 4, 3, 5, 2, 6, 7).double().eval()
    x = np.random.default_rng(1).standard_normal((2, 8, 9, 9))
    state = {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    f = torch.nn.functional

    def basic(name, x, padding=0):
        y = f.conv2d(x, state[f"{name}.conv.weight"], padding=padding)
        keys = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(y, *(state[f"{name}.bn.{key}"] for key in keys), eps=0.001).relu()

    t = torch.tensor(x)
    expected = torch.cat(
        [
            basic("branch1", t),
            basic("branch2.1", basic("branch2.0", t), 1),
            basic("branch3.1", basic("branch3.0", t), 1),
            basic("branch4.1", f.max_pool2d(t, 3, 1, 1)),
        ],
        1,
    )
    np.testing.assert_allclose(ours(minidl.tensor(x)).detach().numpy(), expected.numpy(), rtol=1e-6, atol=1e-8)


def test_inception_gives_its_auxiliary_logits_in_training_only():
    model = Inception(num_classes=5)
    x = minidl.randn(2, 3, 64, 64)
    main, *auxiliary = model(x)
    assert [tuple(y.shape) for y in (main, *auxiliary)] == [(2, 5)] * 3
    assert model.eval()(x).shape == (2, 5)


def test_names_are_those_of_the_published_state_dicts():
    """As torchvision's files have them, so that these are read without a table of names."""
    numbers = {"features": (0, 3, 6, 8, 10), "classifier": (1, 4, 6)}
    expected = [f"{part}.{i}.{kind}" for part, places in numbers.items() for i in places for kind in ("weight", "bias")]
    assert list(AlexNet().state_dict()) == expected
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def convolution(name):
        return [f"{name}.conv.weight", *(f"{name}.bn.{kind}" for kind in norm)]

    branches = ["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"]
    expected = [name for part in ("conv1", "conv2", "conv3") for name in convolution(part)]
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        expected += [name for branch in branches for name in convolution(f"inception{block}.{branch}")]
    for part in ("aux1", "aux2"):
        expected += convolution(f"{part}.conv") + [
            f"{part}.{f}.{k}" for f in ("fc1", "fc2") for k in ("weight", "bias")
        ]
    assert sorted(Inception(aux_logits=True).state_dict()) == sorted([*expected, "fc.weight", "fc.bias"])

    def pair(name, conv, bn):
        return [f"{name}.{conv}.weight", *(f"{name}.{bn}.{kind}" for kind in norm)]

    expected = ["conv1.weight", *(f"bn1.{kind}" for kind in norm), "fc.weight", "fc.bias"]
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            expected += [x for i in (1, 2, 3) for x in pair(f"layer{layer}.{block}", f"conv{i}", f"bn{i}")]
        expected += pair(f"layer{layer}.0", "downsample.0", "downsample.1")
    assert sorted(models.resnet50().state_dict()) == sorted(expected)
