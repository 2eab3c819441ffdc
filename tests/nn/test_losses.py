"""What the table of operators cannot say about losses: warnings, older argument names, CTC's gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl.autograd import grad, gradcheck

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_sizes_that_differ_are_broadcast_with_a_warning(name):
    x, t = RNG.standard_normal((3, 1)), RNG.standard_normal(4)
    with pytest.warns(UserWarning, match="target size"):
        ours = getattr(F, name)(minidl.tensor(x), minidl.tensor(t))
    with pytest.warns(UserWarning, match="target size"):
        theirs = getattr(torch.nn.functional, name)(torch.tensor(x), torch.tensor(t))
    assert ours.item() == pytest.approx(theirs.item())
    with pytest.warns(UserWarning, match="target size"), pytest.raises(RuntimeError, match="dimension 1"):
        getattr(F, name)(minidl.ones(3, 4), minidl.ones(5))


def test_mean_of_kl_div_warns():
    x, t = RNG.standard_normal((3, 4)), RNG.random((3, 4))
    with pytest.warns(UserWarning, match="batchmean"):
        ours = F.kl_div(minidl.tensor(x), minidl.tensor(t))
    with pytest.warns(UserWarning, match="batchmean"):
        theirs = torch.nn.functional.kl_div(torch.tensor(x), torch.tensor(t))
    assert ours.item() == pytest.approx(theirs.item())


@pytest.mark.parametrize("reduce", [None, True, False])
@pytest.mark.parametrize("size_average", [None, True, False])
@pytest.mark.parametrize("name", ["mse_loss", "cross_entropy", "binary_cross_entropy", "kl_div", "soft_margin_loss"])
def test_older_names_of_the_reduction(name, size_average, reduce):
    x = RNG.uniform(0.1, 0.9, (3, 4))
    t = RNG.integers(0, 4, 3) if name == "cross_entropy" else RNG.uniform(0.1, 0.9, (3, 4))
    settings = {"size_average": size_average, "reduce": reduce, "reduction": "sum"}
    old = size_average is not None or reduce is not None
    results = []
    for library, functions in ((minidl, F), (torch, torch.nn.functional)):
        arguments = library.tensor(x), library.tensor(t)
        if old:
            with pytest.warns(UserWarning, match="size_average and reduce"):
                results.append(getattr(functions, name)(*arguments, **settings))
        else:
            results.append(getattr(functions, name)(*arguments, **settings))
    np.testing.assert_allclose(results[0].numpy(), results[1].numpy())


def ctc_arguments(steps=9, samples=3, classes=5):
    return (
        RNG.standard_normal((steps, samples, classes)),
        np.array([[1, 1, 2], [3, 4, 0], [2, 0, 0]]),
        np.array([9, 7, 5]),
        np.array([3, 2, 1]),
    )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_gradients_of_ctc_are_pytorchs(reduction, zero_infinity):
    for steps in (9, 3) if zero_infinity else (9,):
        x, targets, input_lengths, target_lengths = ctc_arguments(steps)
        input_lengths = np.minimum(input_lengths, steps)
        results = []
        for library, functions in ((minidl, F), (torch, torch.nn.functional)):
            logits = library.tensor(x, requires_grad=True)
            loss = functions.ctc_loss(
                functions.log_softmax(logits, -1),
                library.tensor(targets),
                library.tensor(input_lengths),
                library.tensor(target_lengths),
                reduction=reduction,
                zero_infinity=zero_infinity,
            )
            loss.sum().backward()
            results.append((loss.detach().numpy(), logits.grad.numpy()))
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-9)
        np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-7, atol=1e-10)


def test_gradient_of_ctc_through_log_softmax_is_the_finite_difference():
    x, targets, input_lengths, target_lengths = ctc_arguments()

    def loss(logits):
        return F.ctc_loss(
            F.log_softmax(logits, -1), minidl.tensor(targets), input_lengths.tolist(), target_lengths.tolist()
        )

    assert gradcheck(loss, [minidl.tensor(x, requires_grad=True)])


def test_second_order_of_ctc_is_refused():
    x, targets, input_lengths, target_lengths = ctc_arguments()
    logits = minidl.tensor(x, requires_grad=True)
    loss = F.ctc_loss(F.log_softmax(logits, -1), minidl.tensor(targets), tuple(input_lengths), tuple(target_lengths))
    with pytest.raises(RuntimeError, match=r"ctc_loss.*not implemented"):
        grad(loss, [logits], create_graph=True)


def test_ctc_sums_over_all_alignments():
    """Against the sum over every path, written out."""
    from itertools import groupby, product

    x = RNG.standard_normal((5, 1, 3))
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    for labels in ([1], [1, 2], [1, 1], [2, 1, 2], []):
        total = 0.0
        for path in product(range(3), repeat=5):
            if [c for c, _ in groupby(path) if c] == labels:
                total += np.exp(sum(logs[t, 0, c] for t, c in enumerate(path)))
        targets = minidl.tensor(np.array([labels or [1]], dtype=np.int64))
        loss = F.ctc_loss(minidl.tensor(logs), targets, [5], [len(labels)], reduction="sum")
        assert loss.item() == pytest.approx(-np.log(total))


def two_of(*shape):
    return RNG.standard_normal(shape), RNG.uniform(0.1, 0.9, shape)


SIGNS = np.array([1.0, -1.0, 1.0])
MODULES = {
    "L1Loss": two_of(3, 4),
    "MSELoss": two_of(3, 4),
    "SmoothL1Loss": two_of(3, 4),
    "HuberLoss": two_of(3, 4),
    "CrossEntropyLoss": (RNG.standard_normal((3, 4)), np.array([0, 3, 2])),
    "NLLLoss": (RNG.standard_normal((3, 4)), np.array([0, 3, 2])),
    "BCELoss": (RNG.uniform(0.1, 0.9, (3, 4)), RNG.uniform(0.1, 0.9, (3, 4))),
    "BCEWithLogitsLoss": two_of(3, 4),
    "CosineEmbeddingLoss": (*two_of(3, 4), SIGNS),
    "MarginRankingLoss": (*two_of(3), SIGNS),
    "HingeEmbeddingLoss": (RNG.standard_normal(3), SIGNS),
    "SoftMarginLoss": (RNG.standard_normal(3), SIGNS),
    "MultiMarginLoss": (RNG.standard_normal((3, 4)), np.array([0, 3, 2])),
    "MultiLabelMarginLoss": (RNG.standard_normal((3, 4)), np.array([[1, 0, -1, 2]] * 3)),
    "MultiLabelSoftMarginLoss": two_of(3, 4),
    "TripletMarginLoss": (*two_of(3, 4), RNG.standard_normal((3, 4))),
    "TripletMarginWithDistanceLoss": (*two_of(3, 4), RNG.standard_normal((3, 4))),
    "PoissonNLLLoss": two_of(3, 4),
    "GaussianNLLLoss": (*two_of(3, 4), RNG.uniform(0.1, 0.9, (3, 4))),
}


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", MODULES)
def test_modules_are_the_functions(name, reduction):
    ours = getattr(minidl.nn, name)(reduction=reduction)(*map(minidl.tensor, MODULES[name]))
    theirs = getattr(torch.nn, name)(reduction=reduction)(*map(torch.tensor, MODULES[name]))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9)


def test_a_warning_names_the_line_that_called():
    with pytest.warns(UserWarning, match="different to the input size") as caught:
        F.mse_loss(minidl.ones(3, 1), minidl.ones(3))
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="'batchmean'") as caught:
        minidl.nn.KLDivLoss()(minidl.zeros(2, 2), minidl.ones(2, 2))
    assert caught[0].filename == __file__
