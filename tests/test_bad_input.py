"""What a learner does wrong: each call ends in an error of the right type that says what was wrong, with names and shapes.

Wrong calls of single operators stand in the table of operators; files, checkpoints, NaN losses, Ctrl-C and full disks in
tests/train, tests/test_files.py and tests/test_serialization.py; dying workers in tests/data.
"""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset, random_split
from minidl.nn import functional as F

R, V, T, I, K = RuntimeError, ValueError, TypeError, IndexError, KeyError


def x(*shape):
    return minidl.ones(*shape)


def leaf(*shape):
    return minidl.ones(*shape, requires_grad=True)


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))


WRONG = {
    # shapes and dimensions
    "add shapes": (
        lambda: x(2, 3) + x(2, 4),
        R,
        r"size of tensor a \(3\).*tensor b \(4\).*dimension 1.*\[2, 3\] and \[2, 4\]",
    ),
    "matmul inner": (lambda: x(2, 3) @ x(4, 5), R, r"\[?2,? ?x?3\]?.*\[?4,? ?x?5\]?|3.*4"),
    "mm of vectors": (lambda: minidl.mm(x(3), x(3, 2)), R, "mm|matrix|2-D|2D"),
    "bmm batch": (lambda: minidl.bmm(x(2, 3, 4), x(3, 4, 5)), R, "batch|size"),
    "reshape": (lambda: x(2, 3).reshape(4, 2), R, r"\[4, 2\].* is invalid for input of size 6"),
    "reshape two unknown": (lambda: x(2, 3).reshape(-1, -1), R, "only one dimension can be inferred"),
    "view of transposed": (lambda: x(2, 3).T.view(6), R, "reshape"),
    "sum dim": (lambda: x(2, 3).sum(2), I, r"range of \[-2, 1\], but got 2"),
    "softmax dim": (lambda: F.softmax(x(2, 3), 5), I, "but got 5"),
    "squeeze dim": (lambda: x(2, 3).squeeze(4), I, "but got 4"),
    "cat shapes": (lambda: minidl.cat([x(2, 3), x(2, 4)]), R, "3.*4|match"),
    "cat of nothing": (lambda: minidl.cat([]), (R, V), "non-empty|empty"),
    "stack shapes": (lambda: minidl.stack([x(2), x(3)]), R, r"\[2\].*\[3\]|equal size"),
    "expand": (lambda: x(2, 3).expand(4, 3), R, r"expanded size|\[4, 3\].*\[2, 3\]"),
    "permute": (lambda: x(2, 3).permute(0), R, "dims|dimensions"),
    "permute twice": (lambda: x(2, 3).permute(0, 0), R, "repeat|multiple|duplicate"),
    "index": (lambda: x(2, 3)[2], I, r"index 2 is out of bounds for dim(ension)? 0 with size 2"),
    "too many indices": (lambda: x(2, 3)[0, 0, 0], I, "too many indices"),
    "mask shape": (lambda: x(2, 3)[minidl.tensor([True])], I, "mask|shape"),
    "negative step": (lambda: x(4)[::-1], V, "step must be greater than zero"),
    "gather index": (lambda: x(2, 3).gather(1, minidl.tensor([[5]])), (R, I), "5|out of bounds"),
    "assign shape": (lambda: x(2, 3).__setitem__(0, x(4)), R, "4|shape|match"),
    "einsum letters": (lambda: minidl.einsum("ij,jk->ik", x(2, 3), x(4, 5)), R, "j|3|4"),
    "view to wrong size": (lambda: x(4).view(3), R, r"\[3\].* is invalid for input of size 4"),
    # types
    "item of many": (lambda: x(2).item(), (R, V), "2 elements|one element|scalar"),
    "bool of many": (lambda: bool(x(2)), R, "ambiguous"),
    "int requires grad": (lambda: minidl.tensor([1], requires_grad=True), R, "floating"),
    "in-place type": (lambda: minidl.tensor([1]).add_(0.5), R, "can't be cast"),
    "numpy of leaf": (lambda: leaf(2).numpy(), R, r"detach\(\)"),
    "ragged list": (lambda: minidl.tensor([[1, 2], [3]]), V, r"\[1\]|length"),
    "string": (lambda: minidl.tensor("text"), (T, V), "str|text"),
    "unknown dtype": (lambda: minidl.zeros(2, dtype="quad"), T, "quad"),
    "bitwise of floats": (lambda: x(2) & x(2), R, "float|integer"),
    "conv types": (lambda: F.conv2d(x(1, 1, 4, 4), x(1, 1, 2, 2).double()), R, "float32.*float64"),
    "linear types": (lambda: F.linear(x(1, 2), x(3, 2).double()), R, "float32.*float64"),
    "device": (lambda: x(2).to("tpu"), R, "tpu"),
    "device that is not there": (lambda: x(2).to("cuda"), R, r"cuda.*minidl.cuda.is_available"),
    # autograd
    "backward twice": (lambda: twice(), R, "retain_graph=True"),
    "backward of a vector": (lambda: (leaf(3) * 2).backward(), R, r"scalar outputs.*\(3,\)"),
    "backward without history": (lambda: x(1).sum().backward(), R, "does not require grad"),
    "leaf in place": (lambda: leaf(2).mul_(2), R, r"mul_: a leaf.*clone\(\)"),
    "expanded in place": (lambda: x(1).expand(3).add_(1), R, r"clone\(\)"),
    "unused input": (lambda: minidl.autograd.grad(leaf(1).sum(), leaf(1)), R, "allow_unused=True"),
    "grad of another shape": (lambda: setattr(leaf(2), "grad", x(3)), R, r"3.*2|shape|size"),
    # layers: the message or its note names the path
    "layer's path": (lambda: net()(x(1, 1, 5, 5)), R, r"\[1, 18\] and weight \[3, 8\]"),
    "conv channels": (
        lambda: nn.Conv2d(3, 4, 3)(x(1, 1, 8, 8)),
        R,
        r"expected input\[1, 1, 8, 8\] to have 3 channels, but got 1",
    ),
    "conv rank": (lambda: nn.Conv2d(3, 4, 3)(x(3)), R, r"\[3\]"),
    "kernel too large": (lambda: nn.Conv2d(1, 1, 5)(x(1, 1, 3, 3)), R, "Kernel size can't be greater"),
    "pool too small": (lambda: F.max_pool2d(x(1, 1, 2, 2), 3), R, "too small"),
    "batch norm of one": (lambda: nn.BatchNorm1d(3)(x(1, 3)), V, "more than 1 value per channel"),
    "batch norm rank": (lambda: nn.BatchNorm2d(3)(x(2, 3)), V, r"expected 4D input \(got 2D"),
    "layer norm": (lambda: nn.LayerNorm(4)(x(2, 3)), R, r"normalized_shape=\[4\].*\[2, 3\]"),
    "group norm": (lambda: nn.GroupNorm(2, 5), V, "divisible"),
    "dropout p": (lambda: nn.Dropout(2.0), V, "between 0 and 1"),
    "embedding index": (lambda: nn.Embedding(3, 2)(minidl.tensor([3])), I, "3"),
    "class out of range": (lambda: F.cross_entropy(x(2, 3), minidl.tensor([0, 3])), I, "Target 3 is out of bounds.*3"),
    "batch of labels": (lambda: F.cross_entropy(x(2, 3), minidl.tensor([0])), V, r"batch_size \(2\).*batch_size \(1\)"),
    "smoothing": (lambda: F.cross_entropy(x(1, 3), minidl.tensor([0]), label_smoothing=2.0), R, "between 0.0 and 1.0"),
    "reduction": (lambda: F.mse_loss(x(2), x(2), reduction="average"), V, "average"),
    "not a module": (lambda: nn.Sequential(3), T, "Module"),
    "state of another model": (
        lambda: net().load_state_dict(nn.Linear(2, 2).state_dict()),
        R,
        'Missing.*"0.weight"|Unexpected',
    ),
    # optimisers and schedules
    "learning rate": (lambda: optim.SGD([leaf(1)], lr=-1.0), V, "Invalid learning rate: -1"),
    "betas": (lambda: optim.Adam([leaf(1)], betas=(1.0, 0.9)), V, "beta"),
    "no parameters": (lambda: optim.SGD([], lr=0.1), V, "empty parameter list"),
    "a tensor alone": (lambda: optim.SGD(leaf(1), lr=0.1), T, "iterable"),
    "nesterov": (lambda: optim.SGD([leaf(1)], lr=0.1, nesterov=True), V, "momentum"),
    # data
    "sizes of data": (lambda: TensorDataset(x(2), x(3)), AssertionError, r"\(2,\).*\(3,\)"),
    "split": (lambda: random_split(TensorDataset(x(5)), [2, 2]), V, "add up to 4"),
    "batch size": (lambda: DataLoader(TensorDataset(x(5)), batch_size=0), V, "positive integer"),
    "empty shuffle": (lambda: DataLoader(TensorDataset(x(0, 2)), shuffle=True), V, "num_samples=0"),
    # files
    "missing file": (lambda: minidl.load("/nonexistent/file"), (FileNotFoundError, R), "nonexistent"),
    "unknown backend": (lambda: minidl.use_backend("jax"), V, "'jax'.*numpy"),
    "singular": (lambda: minidl.linalg.inv(minidl.zeros(2, 2)), R, "singular"),
    "not square": (lambda: minidl.linalg.det(x(2, 3)), R, "square"),
}


def twice():
    y = (leaf(2) * 2).exp().sum()
    y.backward()
    y.backward()


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=[name.replace(" ", "_") for name in WRONG])
def test_a_wrong_call_says_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_there_are_enough_of_them():
    assert len(WRONG) >= 60


def test_the_path_of_the_layer_stands_beside_the_message():
    with pytest.raises(RuntimeError, match="linear") as error:
        net()(x(1, 1, 5, 5))
    assert error.value.__notes__ == ["in layer 2: Linear(in_features=8, out_features=3, bias=True)"]


def test_a_wrong_call_leaves_the_tensors_as_they_were():
    a = x(2, 3)
    with pytest.raises(RuntimeError, match=r"shape|size"):
        a.add_(x(4, 2, 3))
    np.testing.assert_array_equal(a.numpy(), np.ones((2, 3)))
    assert a._version == 0
